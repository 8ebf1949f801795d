/** Commands that open a checkpoint in each runtime, unless its format gives others. */
import type { Compatibility } from './format.ts'

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
