/** The list of algorithms. */
import { awq } from './awq.ts'
import { gptq } from './gptq.ts'
import { gptqQuantease } from './gptq_quantease.ts'
import { quanteasePlus } from './plus.ts'
import { quantease } from './quantease.ts'
import { rtn } from './rtn.ts'
import { spqr } from './spqr.ts'
import type { Solver } from './solver.ts'

export const solvers: Solver[] = [rtn, quantease, gptq, gptqQuantease, quanteasePlus, spqr, awq]
