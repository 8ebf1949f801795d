/** What the formats know about runtimes: which of them load a checkpoint, and the commands that open it, unless a format gives others. */
import type { Compatibility, ExportPlan, LinearPlan, NotLoaded, Runtime } from './format.ts'

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

/** A linear with its extents, for a reason. */
export const sized = ({ name, q, p }: Pick<LinearPlan, 'name' | 'q' | 'p'>): string => `${name} is ${q} × ${p}`

/**
 * Whether GPTQModel, and transformers with it, needs another than its default kernel on a CPU: that of 4 bits takes a full row as a
 * group only where it has 32, 64, 128 or 256 inputs.
 */
export function needsTorchKernel({ settings: { bits, groupSize }, linears }: Pick<ExportPlan, 'settings' | 'linears'>): boolean {
  return bits === 4 && groupSize === -1 && linears.some(({ p }) => ![32, 64, 128, 256].includes(p))
}
