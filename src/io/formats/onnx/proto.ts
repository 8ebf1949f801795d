/**
 * The part of ONNX's protobuf messages (onnx.proto3, IR version 10) that a graph with its weights in other files needs, written
 * and read by field numbers.
 */
import { PbfReader, PbfWriter } from 'pbf'

/** Element types, by their numbers in TensorProto.DataType. */
export const elementTypes = { FLOAT: 1, UINT8: 2, INT32: 6, INT64: 7, FLOAT16: 10 } as const
export type ElementType = keyof typeof elementTypes

/** Bytes of a tensor in another file, by its name beside the model's. */
export interface External {
  location: string
  offset: number
  length: number
}

/** An initializer: in another file, or a few integers or floats in the model's own. */
export interface Initializer {
  name: string
  type: ElementType
  dims: readonly number[]
  content: External | readonly number[]
}

export interface GraphNode {
  op: string
  /** '' for ONNX's own operators. */
  domain: string
  name: string
  /** '' for an optional input that is not there. */
  inputs: readonly string[]
  outputs: readonly string[]
  ints: Record<string, number>
  floats: Record<string, number>
  strings: Record<string, string>
}

/** An input or output; sizes that vary have a name. */
export interface Value {
  name: string
  type: ElementType
  dims: readonly (number | string)[]
}

export interface Graph {
  inputs: Value[]
  outputs: Value[]
  nodes: GraphNode[]
  initializers: Initializer[]
}

const IR_VERSION = 10
/** Of ONNX's own operators, and of onnxruntime's. */
const opsets = { '': 21, 'com.microsoft': 1 }
const attributeType = { float: 1, int: 2, string: 3 }
/** TensorProto.DataLocation */
const EXTERNAL = 1

/** The bytes of a ModelProto. */
export function encodeModel(graph: Graph): Uint8Array<ArrayBuffer> {
  const pbf = new PbfWriter()
  pbf.writeVarintField(1, IR_VERSION)
  pbf.writeStringField(2, 'QuantEase Workbench')
  pbf.writeMessage(7, writeGraph, graph)
  for (const [domain, version] of Object.entries(opsets)) pbf.writeMessage(8, writeOpset, { domain, version })
  return Uint8Array.from(pbf.finish())
}

function writeOpset({ domain, version }: { domain: string; version: number }, pbf: PbfWriter): void {
  pbf.writeStringField(1, domain)
  pbf.writeVarintField(2, version)
}

function writeGraph({ inputs, outputs, nodes, initializers }: Graph, pbf: PbfWriter): void {
  for (const node of nodes) pbf.writeMessage(1, writeNode, node)
  pbf.writeStringField(2, 'decoder')
  for (const tensor of initializers) pbf.writeMessage(5, writeInitializer, tensor)
  for (const value of inputs) pbf.writeMessage(11, writeValue, value)
  for (const value of outputs) pbf.writeMessage(12, writeValue, value)
}

function writeNode({ op, domain, name, inputs, outputs, ints, floats, strings }: GraphNode, pbf: PbfWriter): void {
  for (const input of inputs) pbf.writeStringField(1, input)
  for (const output of outputs) pbf.writeStringField(2, output)
  pbf.writeStringField(3, name)
  pbf.writeStringField(4, op)
  const attribute = (key: string, type: number, write: (pbf: PbfWriter) => void) =>
    pbf.writeMessage(
      5,
      (_: null, inner: PbfWriter) => {
        inner.writeStringField(1, key)
        write(inner)
        inner.writeVarintField(20, type)
      },
      null,
    )
  for (const [key, value] of Object.entries(floats)) attribute(key, attributeType.float, (inner) => inner.writeFloatField(2, value))
  for (const [key, value] of Object.entries(ints)) attribute(key, attributeType.int, (inner) => inner.writeVarintField(3, value))
  for (const [key, value] of Object.entries(strings)) attribute(key, attributeType.string, (inner) => inner.writeStringField(4, value))
  pbf.writeStringField(7, domain)
}

function writeInitializer({ name, type, dims, content }: Initializer, pbf: PbfWriter): void {
  for (const dim of dims) pbf.writeVarintField(1, dim)
  pbf.writeVarintField(2, elementTypes[type])
  pbf.writeStringField(8, name)
  if ('location' in content) {
    const { location, offset, length } = content
    for (const entry of Object.entries({ location, offset: String(offset), length: String(length) }))
      pbf.writeMessage(13, writeEntry, entry)
    pbf.writeVarintField(14, EXTERNAL)
  } else pbf.writeBytesField(9, rawBytes(type, content))
}

function writeEntry([key, value]: [string, string], pbf: PbfWriter): void {
  pbf.writeStringField(1, key)
  pbf.writeStringField(2, value)
}

function rawBytes(type: ElementType, values: readonly number[]): Uint8Array {
  const array =
    type === 'INT64'
      ? BigInt64Array.from(values, (one) => BigInt(one))
      : type === 'FLOAT'
        ? Float32Array.from(values)
        : Int32Array.from(values)
  return new Uint8Array(array.buffer)
}

/** ValueInfoProto { name, TypeProto { Tensor { elem_type, TensorShapeProto { Dimension { dim_value | dim_param } } } } } */
function writeValue({ name, type, dims }: Value, pbf: PbfWriter): void {
  pbf.writeStringField(1, name)
  pbf.writeMessage(2, (_: null, typed) => typed.writeMessage(1, writeTensorType, { type, dims }), null)
}

function writeTensorType({ type, dims }: Omit<Value, 'name'>, pbf: PbfWriter): void {
  pbf.writeVarintField(1, elementTypes[type])
  pbf.writeMessage(
    2,
    (_: null, shape: PbfWriter) => {
      for (const dim of dims) shape.writeMessage(1, writeDimension, dim)
    },
    null,
  )
}

function writeDimension(dim: number | string, pbf: PbfWriter): void {
  if (typeof dim === 'number') pbf.writeVarintField(1, dim)
  else pbf.writeStringField(2, dim)
}

/** What a reader finds of weights and of the nodes that use them. */
export interface ReadModel {
  /** Tensors in other files, by name. */
  external: Map<string, External & { type: number; dims: number[] }>
  /** Nodes by name. */
  nodes: Map<string, { op: string; inputs: string[]; ints: Record<string, number> }>
}

/** @throws RangeError for bytes that are no protobuf message */
export function decodeModel(bytes: Uint8Array): ReadModel {
  const found: ReadModel = { external: new Map(), nodes: new Map() }
  new PbfReader(bytes).readFields((tag, _, pbf) => {
    if (tag === 7) pbf.readMessage(readGraph, found)
  }, found)
  return found
}

function readGraph(tag: number, found: ReadModel, pbf: PbfReader): void {
  if (tag === 1) {
    const { name, ...node } = pbf.readMessage(readNode, { name: '', op: '', inputs: [] as string[], ints: {} as Record<string, number> })
    found.nodes.set(name, node)
  }
  if (tag === 5) {
    const { name, ...tensor } = pbf.readMessage(readInitializer, { name: '', type: 0, dims: [], location: '', offset: 0, length: 0 })
    if (tensor.location) found.external.set(name, tensor)
  }
}

function readNode(tag: number, node: { name: string; op: string; inputs: string[]; ints: Record<string, number> }, pbf: PbfReader): void {
  if (tag === 1) node.inputs.push(pbf.readString())
  if (tag === 3) node.name = pbf.readString()
  if (tag === 4) node.op = pbf.readString()
  if (tag === 5) {
    const { key, int } = pbf.readMessage(
      (field, attribute, inner) => {
        if (field === 1) attribute.key = inner.readString()
        if (field === 3) attribute.int = inner.readVarint(true)
      },
      { key: '', int: null as number | null },
    )
    if (int !== null) node.ints[key] = int
  }
}

function readInitializer(tag: number, tensor: External & { name: string; type: number; dims: number[] }, pbf: PbfReader): void {
  if (tag === 1) tensor.dims.push(pbf.readVarint())
  if (tag === 2) tensor.type = pbf.readVarint()
  if (tag === 8) tensor.name = pbf.readString()
  if (tag === 13) {
    const entry = pbf.readMessage(
      (field, pair, inner) => {
        if (field === 1 || field === 2) pair[field - 1] = inner.readString()
      },
      ['', ''],
    )
    if (entry[0] === 'location') tensor.location = entry[1]
    if (entry[0] === 'offset') tensor.offset = Number(entry[1])
    if (entry[0] === 'length') tensor.length = Number(entry[1])
  }
}
