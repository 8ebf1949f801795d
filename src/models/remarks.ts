/** What is unusual about a model's weights but not wrong. */
import { keptOf, type Model } from './family.ts'
import type { Folder } from '../io/folder.ts'
import type { Family } from './family.ts'

/** `note`: nothing to act on. */
export interface OpenRemark {
  message: string
  hint: string
  severity?: 'note'
}

/** What is known of an opened model (`OpenModel`) by then. */
interface Opened {
  folder: Folder
  family: Family
  model: Model
  partOf: string | null
  prefix: string
  embedding: string
  head: string
  otherModules: string[]
}

/** At most so many names in one sentence. */
const maxNames = 6

/** What is unusual about the weights but not wrong. */
export function remarksOn(opened: Opened, used: ReadonlySet<string>): OpenRemark[] {
  const { folder, model, embedding, head } = opened
  const remarks: OpenRemark[] = []
  // Angles of the rotary embedding, which older files hold and nobody reads: config.json has their settings.
  const left = [...folder.checkpoint.tensors.keys()].filter((name) => !used.has(name) && !/\brotary_emb\.inv_freq$/.test(name))
  const others = new Set(left.filter(isBeside(opened, used)))
  const idle = left.filter((name) => name.startsWith(opened.prefix) && model.idle?.has(name.slice(opened.prefix.length)))
  const unused = left.filter((name) => !others.has(name) && !idle.includes(name))
  if (opened.partOf !== null) remarks.push(partRemark(opened, others.size))
  else if (others.size) remarks.push(asideRemark(model.aside!, others.size))
  if (idle.length) {
    const message = `${idle.length} tensors, ${model.idle!.what} are copied into checkpoints byte for byte.`
    remarks.push({ message, hint: 'No program uses them.', severity: 'note' })
  }
  remarks.push(...wholeRemarks(model))
  if (unused.length) {
    const more = unused.length > maxNames ? `, and ${unused.length - maxNames} more` : ''
    const subject = unused.length > 1 ? `${unused.length} tensors of the weights are not used` : 'A tensor of the weights is not used'
    remarks.push({
      message: `${subject}: ${unused.slice(0, maxNames).join(', ')}${more}.`,
      hint: `The ${folder.config.model_type} that config.json describes has no such ${unused.length > 1 ? 'tensors. If they belong' : 'tensor. If it belongs'} to the model, config.json is wrong.`,
    })
  }
  if (folder.files.has('adapter_config.json')) {
    remarks.push({
      message: 'The folder also contains an adapter (adapter_config.json), which is not applied.',
      hint: 'To use it, merge it into the model first (PEFT: merge_and_unload, then save_pretrained).',
    })
  }
  for (const { name, why } of folder.leftOut) {
    remarks.push({
      message: `${JSON.stringify(name)} is not copied into checkpoints: ${why}.`,
      hint: 'Rename the file if it belongs to the model.',
    })
  }
  if (model.shape.tied && head !== embedding) {
    remarks.push({
      message: `config.json says that the head is the embedding (tie_word_embeddings), but the weights also contain ${head}, which is used.`,
      hint: 'transformers from version 5 on does the same; older versions use the embedding. If the two tensors are equal, there is no difference.',
    })
  }
  return remarks
}

/** Which part of a repository is meant, and what becomes of the others. */
function partRemark({ family, partOf, prefix, otherModules }: Opened, others: number): OpenRemark {
  const named = otherModules.slice(0, maxNames).join(', ')
  const rest = others ? `The other ${others} tensors (${named}) are copied into checkpoints byte for byte.` : 'It has no other tensors.'
  return {
    message: `This is a repository of the type ${partOf}. Its text model (${family.label}, tensors below ${prefix.replace(/\.$/, '')}) is measured and quantized. ${rest}`,
    hint: 'Calibration and perplexity use text only.',
  }
}

function asideRemark({ module, what }: NonNullable<Model['aside']>, count: number): OpenRemark {
  const message = `${what[0].toUpperCase()}${what.slice(1)} (${count} tensors below ${module}) is copied into checkpoints byte for byte.`
  return { message, hint: 'The forward pass does not use it.', severity: 'note' }
}

/** What stays in full precision by the family's table. */
function wholeRemarks(model: Model): OpenRemark[] {
  const { blocks } = model.shape
  const counts = new Map<string, number>()
  for (const kind of model.layouts) {
    const parts = [...keptOf(kind), ...kind.vectors].flatMap(({ name, duty }) =>
      duty ? [`${name.replace(/\.weight$/, '')} (${duty})`] : [],
    )
    if (parts.length) counts.set(parts.join(', '), (counts.get(parts.join(', ')) ?? 0) + 1)
  }
  return [...counts].map(([parts, count]): OpenRemark => {
    const where = count === blocks ? 'all blocks' : `${count} of ${blocks} blocks`
    return {
      message: `In ${where} these stay in full precision: ${parts}.`,
      hint: 'They are small, and everything passes through them.',
      severity: 'note',
    }
  })
}

/** Whether a tensor belongs to another part of the repository, or is one that the family leaves aside. */
const isBeside =
  ({ partOf, prefix, model: { aside } }: Opened, used: ReadonlySet<string>) =>
  (name: string) =>
    !used.has(name) && ((partOf !== null && !name.startsWith(prefix)) || (aside !== undefined && name.startsWith(`${aside.module}.`)))

/** The modules of those tensors, as they are called without the prefix of the whole. */
export function modulesBeside(opened: Opened, used: ReadonlySet<string>): string[] {
  const names = [...opened.folder.checkpoint.tensors.keys()].filter(isBeside(opened, used))
  return [...new Set(names.map((name) => name.replace(/^model\./, '').split('.')[0]))]
}
