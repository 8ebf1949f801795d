/** Mixtures of experts, which are refused, with the size of what they would take. */
import { WorkbenchError } from '../errors.ts'
import type { JsonObject } from '../io/json.ts'
import { size } from './config.ts'

/** Names that config files have for the same size, of various families. */
const names = {
  experts: ['num_local_experts', 'num_experts', 'n_routed_experts', 'moe_num_experts'],
  active: ['num_experts_per_tok', 'num_experts_per_token', 'moe_topk', 'moe_k', 'top_k_experts', 'num_selected_experts'],
  width: ['moe_intermediate_size', 'expert_intermediate_size', 'expert_ffn_hidden_size', 'intermediate_size', 'ffn_hidden_size'],
  hidden: ['hidden_size', 'd_model'],
  blocks: ['num_hidden_layers', 'n_layer', 'num_layers'],
}

/** @throws WorkbenchError `config-unsupported` for a config.json with experts */
export function refuseExperts(config: JsonObject, known: string): void {
  const field = names.experts.find((one) => config[one] != null && config[one] !== 0)
  if (!field) return
  const what = `config.json describes a mixture of experts: ${field} is ${JSON.stringify(config[field]).slice(0, 40)}`
  const { text, need } = describe(config)
  throw new WorkbenchError('config-unsupported', `${what}${text}.`, `Only dense models are supported${need}. ${known}`)
}

/** How large the experts are, and what they would need; empty where the config does not say. */
function describe(config: JsonObject): { text: string; need: string } {
  const read = (what: keyof typeof names) =>
    names[what].map((name) => size.safeParse(config[name]).data).find((value) => value !== undefined)
  const [experts, active, width, hidden, blocks] = [read('experts'), read('active'), read('width'), read('hidden'), read('blocks')]
  if (!experts || !width || !hidden || !blocks) return { text: '', need: '' }
  const dense = size.safeParse(config.first_k_dense_replace).data ?? 0
  const sparse = Math.max(0, blocks - dense)
  const parameters = 3 * experts * width * hidden * sparse
  const gram = experts * 4 * (hidden ** 2 + width ** 2)
  const share = active && active < experts ? ` ${active} of them for each token,` : ''
  const seen = active && active < experts ? `, from the ${round((100 * active) / experts)} % of the tokens that reach it` : ''
  return {
    text: `, in each of about ${sparse} blocks,${share} with some ${counted(parameters)} parameters in all`,
    need: `. This one would need a forward pass that routes tokens, and Gram matrices for each expert${seen}: ${sized(gram)} for each block`,
  }
}

const counted = (value: number) => (value < 1e9 ? value.toLocaleString('en') : `${round(value / 1e9)} billion`)
const sized = (bytes: number) => (bytes < 2 ** 30 ? `${round(bytes / 2 ** 20)} MiB` : `${round(bytes / 2 ** 30)} GiB`)
const round = (value: number) => Number(value.toPrecision(3)).toLocaleString('en', { maximumFractionDigits: 20 })
