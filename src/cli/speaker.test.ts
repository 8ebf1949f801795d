import { expect, test } from 'vitest'
import type { RunEvent } from '../engine/job/events.ts'
import { Speaker } from './speaker.ts'

function listen(isTTY: boolean) {
  let now = 0
  let said = ''
  const speaker = new Speaker(false, { isTTY, write: (text) => (said += text) }, () => now)
  const take = () => {
    const lines = said.split('\n').slice(0, -1)
    said = ''
    return lines
  }
  const later = (seconds: number) => {
    for (let s = 0; s < seconds; s += 5) {
      now += 5
      speaker.tick()
    }
  }
  return { speaker, take, later, raw: () => said }
}

const counts = { text: 1000, windows: 2, length: 64 }
const start: RunEvent = {
  type: 'job-start',
  calibration: counts,
  evaluation: counts,
  blocks: 12,
  layers: [],
  notices: [],
  texts: { calibration: null, evaluation: null } as never,
  resumed: null,
}
const stage = (stage: 'baseline' | 'calibrate' | 'solve', block: number | null): RunEvent => ({
  type: 'stage',
  run: stage === 'baseline' ? null : 'run',
  stage,
  block,
  linear: null,
})

test('without a terminal, every stage of a block is one line that says how far the job is', () => {
  const { speaker, take } = listen(false)
  speaker.hear(start)
  expect(take()).toEqual(['Calibration: 2 × 64 tokens. Evaluation: 2 × 64 tokens.'])
  speaker.hear(stage('baseline', null))
  speaker.hear({ type: 'progress', done: 0.256, elapsed: 61, eta: 3000, run: 'run', runDone: 0 })
  for (const one of ['calibrate', 'solve', 'calibrate', 'solve'] as const) speaker.hear(stage(one, 2))
  speaker.hear(stage('calibrate', 3))
  expect(take()).toEqual([
    'measuring the unquantized model',
    '25 %, 61 s, about 50 min left: block 3 of 12, collecting activations',
    '25 %, 61 s, about 50 min left: block 3 of 12, solving',
    '25 %, 61 s, about 50 min left: block 4 of 12, collecting activations',
  ])
})

test('a dry run says which method it is at', () => {
  const { speaker, take } = listen(false)
  for (const [done, label] of ['RTN', 'GPTQ'].entries()) speaker.foresee({ done, all: 2, label })
  expect(take()).toEqual(['0 %: counting what RTN takes', '50 %: counting what GPTQ takes'])
})

test('of several jobs each line says which it is of, and none has the progress of the one before', () => {
  const { speaker, take } = listen(false)
  const half: RunEvent = { type: 'progress', done: 0.5, elapsed: 61, eta: 61, run: null, runDone: 0 }
  speaker.step(1, 2, 'what each width costs.')
  speaker.hear(half)
  speaker.hear(stage('calibrate', 0))
  speaker.step(2, 2, 'the mixture.')
  speaker.hear(start)
  speaker.hear(stage('baseline', null))
  speaker.hear(half)
  speaker.hear(stage('calibrate', 0))
  expect(take()).toEqual([
    'Step 1 of 2: what each width costs.',
    'step 1 of 2, 50 %, 61 s, about 61 s left: block 1, collecting activations',
    'Step 2 of 2: the mixture.',
    'Calibration: 2 × 64 tokens. Evaluation: 2 × 64 tokens.',
    'step 2 of 2, measuring the unquantized model',
    'step 2 of 2, 50 %, 61 s, about 61 s left: block 1 of 12, collecting activations',
  ])
})

test('without a terminal, no minute passes in silence: not before the job, not during the baseline', () => {
  const { speaker, take, later } = listen(false)
  later(180)
  expect(take()).toEqual(Array(3).fill('reading the model and the texts'))
  speaker.hear(start)
  speaker.hear(stage('baseline', null))
  take()
  speaker.hear({ type: 'progress', done: 0.01, elapsed: 30, eta: 20_000, run: null, runDone: 0 })
  later(60)
  expect(take()).toEqual(['1 %, 30 s, about 5 h 34 min left: measuring the unquantized model'])
})

test('on a terminal one line rewrites itself', () => {
  const { speaker, later, raw } = listen(true)
  speaker.hear(stage('baseline', null))
  speaker.hear({ type: 'progress', done: 0.5, elapsed: 3, eta: null, run: null, runDone: 0 })
  later(120)
  expect(raw()).toBe('\r\x1b[K50 %, 3 s')
})

test('an upload is one line for each file and phase, or one that rewrites itself', () => {
  const steps = [
    { phase: 'hashing', path: 'model.safetensors', done: 0, total: 200 },
    { phase: 'sending', path: 'model.safetensors', done: 0, total: 200 },
    { phase: 'sending', path: 'model.safetensors', done: 90, total: 200 },
    { phase: 'committing', path: null, done: 199, total: 200 },
  ] as const
  const plain = listen(false)
  for (const step of steps) plain.speaker.upload(step)
  expect(plain.take()).toEqual([
    '0 % uploaded: hashing model.safetensors',
    '0 % uploaded: sending model.safetensors',
    '99 % uploaded: committing',
  ])
  const live = listen(true)
  for (const step of steps.slice(2)) live.speaker.upload(step)
  expect(live.raw()).toBe('\r\x1b[K45 % uploaded: sending model.safetensors\r\x1b[K99 % uploaded: committing')
})
