/**
 * What there is to choose from, as plain data. The build of the page runs this file beforehand and puts its answer in its place
 * (`vite.config.ts`), so that a visit begins without the code of every algorithm, family and format.
 */
import { formats } from '../io/formats/index.ts'
import { families } from '../models/index.ts'
import { solvers } from '../quant/index.ts'
import { dryDevices } from './devices.ts'
import type { Catalog } from './job/catalog.ts'
import { runOptions } from './run-options.ts'

export const catalog = (): Omit<Catalog, 'texts'> => ({
  solvers: solvers.map(({ id, label, summary, advice, recommended, own, options }) => ({
    id,
    label,
    summary,
    advice,
    recommended,
    own,
    options,
  })),
  runOptions,
  families: families.map(({ id, label, modelTypes }) => ({ id, label, modelTypes })),
  formats: formats.map(({ id, label, summary }) => ({ id, label, summary })),
  devices: dryDevices,
})
