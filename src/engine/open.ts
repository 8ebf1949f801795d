/** Opens the files of a model: headers, configuration, tokenizer and chat template. Loaded with the first model. */
import type { ChatTemplateFile } from '../data/chat.ts'
import { loadTokenizer, type TextTokenizer } from '../data/tokenizer.ts'
import { loadChatTemplate, loadVocabulary } from '../data/vocabulary.ts'
import { WorkbenchError } from '../errors.ts'
import type { Files } from '../io/bytes.ts'
import { openConfig, openFolder } from '../io/folder.ts'
import { blankModel } from '../models/blank.ts'
import { kindsOf, linearsOf } from '../models/family.ts'
import { type OpenModel, openModel } from '../models/open.ts'
import type { ModelSummary, Problem } from './job/model.ts'

type OpenedSummary = Omit<ModelSummary, 'source'>

export interface Opened {
  model: OpenModel
  /** Null for a config.json alone, which opens as a model without weights. */
  tokenizer: TextTokenizer | null
  /** Null without a template; an error for one that cannot be used. */
  chat: ChatTemplateFile | WorkbenchError | null
  summary: OpenedSummary
}

/** @throws WorkbenchError of everything that can be wrong with the files */
export async function openModelFiles(files: Files, name?: string): Promise<Opened> {
  const config = await openConfig(files)
  if (config) {
    const model = blankModel(name ? { ...config, name } : config)
    return { model, tokenizer: null, chat: null, summary: { ...summaryOf(model, null), chatTemplate: false, problems: [] } }
  }
  const folder = await openFolder(files, name)
  const model = openModel(folder)
  const tokenizer = await loadTokenizer(folder.files)
  const vocabulary = await loadVocabulary(folder.files, tokenizer)
  const { chat, problems } = await openChatTemplate(folder.files)
  const remarks = [...model.remarks, ...tokenizer.remarks].map((remark): Problem => ({ severity: 'warning', code: 'note', ...remark }))
  return {
    model: { ...model, vocabulary },
    tokenizer,
    chat,
    summary: {
      ...summaryOf(model, tokenizer),
      chatTemplate: chat !== null && !(chat instanceof WorkbenchError),
      problems: [...remarks, ...problems],
    },
  }
}

/** A template that cannot be used is no reason not to open the model. */
async function openChatTemplate(files: Files): Promise<{ chat: ChatTemplateFile | WorkbenchError | null; problems: Problem[] }> {
  try {
    return { chat: await loadChatTemplate(files), problems: [] }
  } catch (error) {
    if (!(error instanceof WorkbenchError)) throw error
    const { code, message, hint } = error
    return { chat: error, problems: [{ severity: 'warning', code, message, hint }] }
  }
}

function summaryOf(opened: OpenModel, tokenizer: TextTokenizer | null): Omit<OpenedSummary, 'chatTemplate' | 'problems'> {
  const { folder, family, model } = opened
  const { shape } = model
  const { packing } = folder
  return {
    name: folder.name,
    family: family.id,
    familyLabel: opened.partOf === null ? family.label : `${family.label}, the text model of ${opened.partOf}`,
    parameters: opened.parameters,
    quantizable: model.layouts.flatMap(linearsOf).reduce((sum, { q, p }) => sum + q * p, 0),
    dtype: opened.dtype,
    blocks: shape.blocks,
    hidden: shape.hidden,
    heads: shape.heads,
    kvHeads: shape.kvHeads,
    ffn: shape.ffn,
    vocab: shape.vocab,
    maxPositions: shape.maxPositions,
    tiedHead: opened.head === opened.embedding,
    bytes: folder.checkpoint.bytes,
    tokenizer: tokenizer && { kind: tokenizer.kind, vocab: tokenizer.vocab },
    license: folder.license,
    quantized: packing && {
      format: packing.label,
      bits: packing.bits,
      groupSize: packing.groupSize,
      symmetric: packing.symmetric,
      actOrder: packing.actOrder ?? false,
      method: packing.method,
    },
    linears: kindsOf(model)
      .flatMap(linearsOf)
      .map(({ name, q, p }) => ({ name, shape: [q, p] })),
    tensors: [...folder.checkpoint.tensors.values()].map(({ name, dtype, shape, bytes, file }) => ({
      name,
      dtype,
      shape: [...shape],
      bytes,
      file,
    })),
    otherFiles: folder.otherFiles,
  }
}
