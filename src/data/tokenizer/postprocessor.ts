/** Post-processors of a tokenizer.json, which add ids before and after those of a text. */
import { isObject, type JsonObject } from '../../io/json.ts'
import { anything, componentOf, fieldsOf, flag, invalid, list, object, shown, unsupported } from './fields.ts'
import { checkedId } from './models.ts'

export interface Template {
  before: number[]
  after: number[]
}

const none: Template = { before: [], after: [] }

/** @throws WorkbenchError `tokenizer-invalid` that names what is wrong or not supported */
export function readPostProcessor(value: unknown): Template {
  if (value === null || value === undefined) return none
  const { component, type } = componentOf(value, 'post-processor')
  switch (type) {
    case 'ByteLevel': // Changes only offsets.
      fieldsOf(component, 'the post-processor ByteLevel', { add_prefix_space: flag(true), trim_offsets: flag(true), use_regex: flag(true) })
      return none
    case 'BertProcessing':
    case 'RobertaProcessing': {
      const { cls, sep } = fieldsOf(component, type, { cls: list, sep: list, trim_offsets: flag(true), add_prefix_space: flag(true) })
      return { before: [checkedId(cls[1], cls[0])], after: [checkedId(sep[1], sep[0])] }
    }
    case 'TemplateProcessing':
      return readTemplate(component)
    case 'Sequence': {
      const { processors } = fieldsOf(component, 'the post-processor Sequence', { processors: list })
      const adding = processors.map(readPostProcessor).filter((one) => one !== none)
      if (adding.length > 1) throw unsupported('its post-processor Sequence adds tokens twice')
      return adding[0] ?? none
    }
    default:
      throw unsupported(`it has the post-processor ${type}`)
  }
}

function readTemplate(component: JsonObject): Template {
  const { single, special_tokens } = fieldsOf(component, 'TemplateProcessing', { single: list, pair: anything, special_tokens: object })
  const template: Template = { before: [], after: [] }
  let side: number[] = template.before
  for (const part of single) {
    const [kind, ...more] = isObject(part) ? Object.keys(part) : []
    const inner = isObject(part) ? part[kind] : null
    const id = isObject(inner) ? inner.id : null
    if (more.length || typeof id !== 'string') throw invalid(`its TemplateProcessing has the part ${shown(part)}`)
    if (kind === 'Sequence' && id === 'A' && side === template.before) side = template.after
    else if (kind === 'SpecialToken') side.push(...idsOf(special_tokens, id))
    else throw unsupported(`its TemplateProcessing has the part ${shown(part)}`)
  }
  if (side === template.before) throw unsupported('its TemplateProcessing leaves out the text')
  return template
}

function idsOf(tokens: JsonObject, name: string): number[] {
  const token = Object.hasOwn(tokens, name) ? tokens[name] : null
  if (!isObject(token) || !Array.isArray(token.ids)) throw invalid(`its TemplateProcessing has no ids for the special token ${shown(name)}`)
  return token.ids.map((id) => checkedId(id, name))
}
