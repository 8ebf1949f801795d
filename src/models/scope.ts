/** A scope for the forward pass of a block: weights by name, and intermediate tensors that are freed even after an error. */
import type { Device } from '../gpu/device.ts'
import { addBias, forwardProduct, layernorm, scale } from '../gpu/ops.ts'
import type { Products } from '../gpu/products.ts'
import type { Tensor } from '../gpu/tensor.ts'
import type { BlockLayout, BlockWeights } from './family.ts'

/** The vectors of a LayerNorm over `length` features. */
export function layernormVectors(name: string, length: number): BlockLayout['vectors'] {
  return ['weight', 'bias'].map((part) => ({ name: `${name}.${part}`, length }))
}

/** x · factor, in place. */
export function multiplied(gpu: Device, x: Tensor, factor: number): Tensor {
  if (factor === 1) return x
  const cols = gpu.upload(new Float32Array(x.cols).fill(factor), [x.cols])
  scale(gpu, x, { cols })
  cols.dispose()
  return x
}

export class Scope {
  readonly #live = new Set<Tensor>()

  constructor(
    readonly gpu: Device,
    readonly weights: BlockWeights,
    /** How linears take their inputs. */
    readonly products: Products = 'f32',
  ) {}

  /** Makes the scope free a tensor, unless `drop` or `give` comes first. */
  keep(tensor: Tensor): Tensor {
    this.#live.add(tensor)
    return tensor
  }

  drop(...tensors: Tensor[]): void {
    for (const tensor of tensors) {
      this.#live.delete(tensor)
      tensor.dispose()
    }
  }

  /** Hands a tensor over to the caller. */
  give(tensor: Tensor): Tensor {
    this.#live.delete(tensor)
    return tensor
  }

  /** A copy to which the branches of a residual connection are added. */
  copy(x: Tensor): Tensor {
    const y = this.keep(this.gpu.empty(x.shape))
    this.gpu.copy(x, y)
    return y
  }

  weight(name: string): Tensor {
    const tensor = this.weights.get(name)
    if (!tensor) throw new Error(`The block has no ${name}.`)
    return tensor
  }

  /** x · W + bias, or added to `into`: the residual connection costs nothing. */
  linear(x: Tensor, name: string, into?: Tensor): Tensor {
    const weight = this.weight(`${name}.weight`)
    const sum = into && { out: into, beta: 1 }
    const product = forwardProduct(this.gpu, x, weight, this.products, sum)
    const out = into ?? this.keep(product)
    const bias = this.weights.get(`${name}.bias`)
    if (bias) addBias(this.gpu, out, bias)
    return out
  }

  /** LayerNorm with the weight and bias of the module `name`. */
  layernorm(x: Tensor, name: string, eps: number): Tensor {
    return this.keep(layernorm(this.gpu, x, this.weight(`${name}.weight`), this.weight(`${name}.bias`), eps))
  }

  dispose(): void {
    for (const tensor of this.#live) tensor.dispose()
    this.#live.clear()
  }
}
