/** The GPU: its properties and memory, and what to do when there is none. */
import { Popover } from 'radix-ui'
import type { GpuSummary, Holding } from '../../engine/job/device.ts'
import type { ErrorData } from '../../errors.ts'
import { useView, useWorkbench } from '../context.ts'
import * as format from '../format.ts'
import { isBusy } from '../store/state.ts'
import { Button } from './controls.tsx'
import './gpu.css'

export function GpuChip() {
  const gpu = useView((state) => state.gpu)
  const memory = useView((state) => (isBusy(state) ? state.view!.memory : null))
  if (gpu.state === 'opening') return <span className="chip">Looking for a GPU</span>
  if (gpu.state === 'missing') return <span className="chip bad">No GPU</span>
  const { summary } = gpu
  return (
    <Popover.Root>
      <Popover.Trigger className="chip" aria-label={`GPU: ${summary.name}. Details`}>
        <span className={`lamp ${summary.kind}`} aria-hidden="true" />
        <span className="chip-name">{summary.name}</span>
        <span className="chip-short">GPU</span>
        <span className="chip-memory figures">
          {memory ? format.bytesOf(memory.held, summary.memoryBudget) : format.bytes(summary.memoryBudget)}
        </span>
      </Popover.Trigger>
      <Popover.Portal>
        <Popover.Content className="popover" sideOffset={8} collisionPadding={8} aria-label="GPU details">
          <h2>{summary.name}</h2>
          <GpuFacts summary={summary} held={memory?.held ?? 0} peak={memory?.peak ?? null} />
          {memory && <Holdings holdings={memory.holdings} />}
        </Popover.Content>
      </Popover.Portal>
    </Popover.Root>
  )
}

/** More would not be read. */
const SHOWN = 8

/** Who holds GPU memory now; what is small is added up. */
function Holdings({ holdings }: { holdings: Holding[] }) {
  if (!holdings.length) return null
  const rest = holdings.slice(SHOWN).reduce((sum, { bytes }) => sum + bytes, 0)
  const shown = [...holdings.slice(0, SHOWN), ...(rest ? [{ holder: 'everything else', bytes: rest }] : [])]
  return (
    <>
      <h3>In use for</h3>
      <dl className="facts">
        {shown.map(({ holder, bytes }) => (
          <Fact key={holder} name={holder}>
            {format.bytes(bytes)}
          </Fact>
        ))}
      </dl>
    </>
  )
}

function GpuFacts({ summary, held, peak }: { summary: GpuSummary; held: number; peak: number | null }) {
  return (
    <dl className="facts">
      <Fact name="Kind">{summary.kind === 'software' ? 'Software (runs on the CPU)' : 'Graphics processor'}</Fact>
      <Fact name="Vendor, architecture">{[summary.vendor, summary.architecture].filter(Boolean).join(', ') || 'unknown'}</Fact>
      <Fact name="Memory in use">{format.bytes(held)}</Fact>
      {peak !== null && <Fact name="Peak in this job">{format.bytes(peak)}</Fact>}
      <Fact name="Memory it may use">{format.bytes(summary.memoryBudget)} (estimate)</Fact>
      {summary.hourParameters === null ? (
        <Fact name="Largest model that fits">about {format.parameters(summary.fitsParameters)} parameters</Fact>
      ) : (
        <Fact name="Model that takes an hour">about {format.parameters(summary.hourParameters)} parameters</Fact>
      )}
      <Fact name="Measured speed, f32">
        {summary.gflops.toFixed(summary.gflops < 100 ? 1 : 0)}
        {'\u202f'}GFLOP/s
      </Fact>
      <Fact name="Largest binding">{format.bytes(summary.maxBinding)}</Fact>
      <Fact name="Largest buffer">{format.bytes(summary.maxBuffer)}</Fact>
      <Fact name="16-bit floats (f16)">{summary.f16 ? 'yes, offered for evaluation' : 'no (not needed)'}</Fact>
      <Fact name="Subgroups">{summary.subgroups ? 'yes' : 'no (not needed)'}</Fact>
      <Fact name="Matrix product">{summary.gemmLabel}</Fact>
      <Fact name="QuantEase sweeps">
        {summary.sweepPanel === 32 ? 'column blocks of 32' : `column blocks of 32 in panels of ${summary.sweepPanel}`}
      </Fact>
    </dl>
  )
}

export function Fact({ name, children }: { name: string; children: React.ReactNode }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  )
}

/** What this machine can do, before anything is opened: one sentence to decide by. */
export function GpuVerdict() {
  const gpu = useView((state) => state.gpu)
  if (gpu.state === 'opening') return <p className="hint gpu-verdict">Looking at the GPU …</p>
  if (gpu.state === 'missing') {
    return (
      <p className="gpu-verdict">
        Without a GPU nothing can be quantized or measured here; models can be inspected, and their time and memory on another device
        forecast.
      </p>
    )
  }
  const { summary } = gpu
  return (
    <p className="gpu-verdict">
      {summary.hourParameters === null ? (
        <>
          <b>{summary.name}</b> can quantize models of up to about <b>{format.parameters(summary.fitsParameters)} parameters</b> here: it
          may use about {format.bytes(summary.memoryBudget)} of memory.
        </>
      ) : (
        <>
          <b>There is no graphics processor to use:</b> {summary.name} computes on the CPU, <SoftwareRate {...summary} />
        </>
      )}
    </p>
  )
}

export function SoftwareNotice() {
  const gpu = useView((state) => state.gpu)
  if (gpu.state !== 'ready' || gpu.summary.hourParameters === null) return null
  return (
    <p className="notice">
      This is a software adapter: everything works, but on the CPU and slowly, at <SoftwareRate {...gpu.summary} />
    </p>
  )
}

/** Ends a sentence: the rate, and what it means for a model. */
function SoftwareRate({ gflops, hourParameters }: GpuSummary) {
  return (
    <>
      {gflops.toFixed(1)}
      {'\u202f'}GFLOP/s where a graphics card does a thousand or more. A model of {format.parameters(hourParameters ?? 0)} parameters takes
      about an hour with 128 samples of 2,048 tokens; the demo is small enough to try everything with it.
    </>
  )
}

// ---------------------------------------------------------------- none

interface Advice {
  browser: string
  applies: boolean
  what: string
}

function advice(agent: string): Advice[] {
  const firefox = /Firefox|FxiOS/.test(agent)
  const chrome = /Chrome|CriOS|Edg/.test(agent)
  const android = /Android/.test(agent)
  const apple = /iPhone|iPad/.test(agent)
  const linux = /Linux/.test(agent) && !android
  return [
    {
      browser: 'Chrome or Edge on Windows, macOS, ChromeOS',
      applies: chrome && !linux && !android && !apple,
      what: 'Update to version 113 or later, and turn on “Use graphics acceleration when available” in Settings, System.',
    },
    {
      browser: 'Chrome or Edge on Linux',
      applies: chrome && linux,
      what: 'Open chrome://flags, enable “Unsafe WebGPU Support” and “Vulkan”, and restart the browser; chrome://gpu then says whether WebGPU is on.',
    },
    { browser: 'Chrome on Android', applies: chrome && android, what: 'Update to version 121 or later on Android 12 or later.' },
    {
      browser: 'Firefox',
      applies: firefox && !apple,
      what: 'Use version 141 or later on Windows, or 145 or later on a Mac with Apple silicon; on Linux, use Chrome.',
    },
    {
      browser: 'Safari on macOS, iPhone, iPad',
      applies: apple || (!chrome && !firefox),
      what: 'Update to macOS, iOS or iPadOS 26, where Safari has WebGPU switched on.',
    },
  ]
}

export function GpuMissing({ error }: { error: ErrorData }) {
  const workbench = useWorkbench()
  return (
    <section className="panel gpu-missing" aria-labelledby="gpu-missing" data-code={error.code}>
      <h2 id="gpu-missing">There is no GPU to work with</h2>
      <p>{error.message}</p>
      {error.hint && <p className="hint">{error.hint}</p>}
      {!window.isSecureContext && (
        <p>
          <b>This page was loaded over an open connection.</b> Browsers offer WebGPU only to https pages and to localhost: open the
          workbench under one of these.
        </p>
      )}
      <h3>What to do</h3>
      <dl className="advice">
        {advice(navigator.userAgent).map(({ browser, applies, what }) => (
          <div key={browser} className={applies ? 'applies' : ''}>
            <dt>
              {browser}
              {applies && <span className="tag">looks like yours</span>}
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
      <div className="row">
        <Button kind="primary" icon="next" onClick={workbench.openRecording}>
          See a recorded run
        </Button>
        <Button onClick={workbench.openGpu}>Try again</Button>
      </div>
    </section>
  )
}
