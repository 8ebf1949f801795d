/** What the formats know about runtimes: which of them load a checkpoint, and the commands that open it, unless a format gives others. */
import {
  byGrid,
  type Compatibility,
  type ExportFormat,
  type ExportPlan,
  type LinearPlan,
  type NotLoaded,
  type Remark,
  type Runtime,
  settingsOf,
} from './format.ts'

/** `{folder}` stands for the checkpoint's folder. */
const commands: Record<string, string> = {
  vLLM: 'vllm serve {folder}',
  SGLang: 'python -m sglang.launch_server --model-path {folder}',
  transformers: `python -c "from transformers import pipeline; print(pipeline('text-generation', '{folder}')('Once upon a time'))"`,
  GPTQModel: `python -c "from gptqmodel import GPTQModel; m = GPTQModel.load('{folder}'); print(m.tokenizer.decode(m.generate('Once upon a time')[0]))"`,
  'llama.cpp (convert_hf_to_gguf)': 'python convert_hf_to_gguf.py {folder}',
  'mlx-lm': "mlx_lm.generate --model {folder} --prompt 'Once upon a time'",
}

/** The same, each runtime that loads it with its command. */
export function withCommands(found: Compatibility[]): Compatibility[] {
  return found.map((one) => {
    const command = one.command ?? commands[one.runtime]
    return one.loads && command ? { ...one, command } : one
  })
}

/** A reason against a runtime, if it holds. */
export type Reason = string | false | null | undefined

/** Says of each runtime whether it loads a checkpoint: the first reason against it, else the note. */
export function verdicts(
  notLoaded: NotLoaded,
  found: readonly [runtime: Runtime, against: readonly Reason[], note: string][],
): Compatibility[] {
  const own = { runtime: 'QuantEase Workbench', loads: true, note: 'Opens its own checkpoints for evaluation.' }
  const others = found.map(([runtime, against, note]) => {
    const reason = [notLoaded[runtime], ...against].find(Boolean)
    return { runtime, loads: !reason, note: reason || note }
  })
  return [own, ...others]
}

/**
 * The same for a plan whose linears may have several grids: a runtime loads it if it loads each of them, computes no linears as one that
 * differ, and nothing in `against` stands against the mixture.
 */
export function verdictsOfGrids(
  verdict: ExportFormat['compatibility'],
  against: (plan: ExportPlan) => Partial<Record<Runtime, Reason>>,
): ExportFormat['compatibility'] {
  return (plan, notLoaded) => {
    const parts = byGrid(plan)
    const [most, ...others] = parts.map((part) => verdict(part, notLoaded))
    const apart = fusedApart(plan)
    const reasons: Partial<Record<Runtime, Reason>> = { vLLM: apart, SGLang: apart, ...(others.length && against(plan)) }
    return most.map((first, i) => {
      const all = [first, ...others.map((found) => found[i])]
      const no = all.find(({ loads }) => !loads)
      const mixed = reasons[first.runtime as Runtime]
      if (no) return no
      if (mixed) return { runtime: first.runtime, loads: false, note: mixed }
      const differing = all.flatMap(({ note }, j) => (note === first.note ? [] : [`Of ${parts[j].settings.bits} bits: ${note}`]))
      return { ...first, note: [first.note, ...new Set(differing)].join(' ') }
    })
  }
}

/** Linears of a block that vLLM and SGLang compute as one. */
const FUSED = [
  ['q_proj', 'k_proj', 'v_proj'],
  ['gate_proj', 'up_proj'],
]

interface FusedSet {
  parent: string
  names: string[]
  /** Whether all have the same grid, or all stay in full precision. */
  grid: 'same' | 'whole' | 'apart'
}

/** The sets of linears that are computed as one. */
export function fusedSets({ linears, copied, settings }: Pick<ExportPlan, 'linears' | 'copied' | 'settings'>): FusedSet[] {
  const grids = new Map(copied.filter(({ shape }) => shape.length === 2).map(({ name }) => [name.replace(/\.weight$/, ''), 'whole']))
  for (const linear of linears) {
    const { bits, groupSize, symmetric } = settingsOf(settings, linear)
    grids.set(linear.name, [bits, groupSize, symmetric].join())
  }
  return [...grids.keys()].flatMap((path) => {
    const [, parent = '', own] = /^(.*\.)?([^.]*)$/.exec(path)!
    const names = FUSED.find(([first]) => first === own)?.filter((name) => grids.has(parent + name)) ?? []
    const found = new Set(names.map((name) => grids.get(parent + name)))
    return names.length > 1 ? [{ parent, names, grid: found.size > 1 ? 'apart' : found.has('whole') ? 'whole' : 'same' }] : []
  })
}

/** Why runtimes that compute some linears as one do not load a plan in which those differ; null where they do not. */
export function fusedApart(plan: ExportPlan): string | null {
  const apart = fusedSets(plan).find(({ grid }) => grid === 'apart')
  return apart ? `No: it computes ${apart.names.join(', ')} of ${apart.parent.slice(0, -1)} as one, and they have different grids.` : null
}

/** A warning for such a plan. */
export function fusedRemarks(plan: ExportPlan): Remark[] {
  if (!fusedApart(plan)) return []
  return [
    {
      field: 'overrides',
      message:
        'vLLM and SGLang compute q, k and v as one linear, and gate and up as one: they do not load a checkpoint in which these have different grids.',
      hint: 'Give {q,k,v}_proj one override, and {gate,up}_proj one.',
      severity: 'warning',
    },
  ]
}

/** A linear with its extents, for a reason. */
export const sized = ({ name, q, p }: Pick<LinearPlan, 'name' | 'q' | 'p'>): string => `${name} is ${q} × ${p}`

/**
 * Whether GPTQModel, and transformers with it, needs another than its default kernel on a CPU: that of 4 bits takes a full row as a
 * group only where it has 32, 64, 128 or 256 inputs.
 */
export function needsTorchKernel({ settings: { bits, groupSize }, linears }: Pick<ExportPlan, 'settings' | 'linears'>): boolean {
  return bits === 4 && groupSize === -1 && linears.some(({ p }) => ![32, 64, 128, 256].includes(p))
}
