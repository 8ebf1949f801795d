/** A conversation with an exported checkpoint, in llama.cpp on this page. */
import { useEffect, useRef, useState } from 'react'
import { type ErrorData, toErrorData } from '../../errors.ts'
import { useView, useWorkbench } from '../context.ts'
import * as format from '../format.ts'
import { canUseGpu, Llama, type Speech } from '../llama.ts'
import { describeVerdict, judge, recited } from '../recital.ts'
import { Button } from './controls.tsx'
import { Field, Switch } from './fields.tsx'
import { Icon } from './icons.tsx'
import './chat.css'

interface ChatProps {
  run: string
  /** Paths of its .gguf file, or of its shards in their order. */
  paths: string[]
  onClose: () => void
}

type Opened =
  | { state: 'loading' }
  | { state: 'ready'; llama: Llama; remark: { wrong: boolean; text: string } | null }
  | { state: 'failed'; error: ErrorData }

export default function Chat({ run, paths, onClose }: ChatProps) {
  const real = useView((state) => state.gpu.state === 'ready' && state.gpu.summary.kind === 'gpu')
  const mayUseGpu = real && canUseGpu()
  const [gpu, setGpu] = useState(mayUseGpu)
  const opened = useLlama(run, paths, gpu)
  return (
    <section className="chat" aria-label="Chat">
      <div className="panel-head">
        <h4>Chat with it</h4>
        <Button kind="quiet" icon="cancel" aria-label="Close the chat" onClick={onClose} />
      </div>
      {mayUseGpu && (
        <Field label="Compute on the GPU" help="Off: llama.cpp computes on the processor, slower but the same on every machine.">
          {(control) => <Switch {...control} checked={gpu} onChange={setGpu} />}
        </Field>
      )}
      {opened.state === 'loading' && <p role="status">Loading llama.cpp and the checkpoint …</p>}
      {opened.state === 'failed' && (
        <p className="field-problem error" role="alert">
          <Icon name="warning" />
          <span>
            {opened.error.message} {opened.error.hint}
          </span>
        </p>
      )}
      {opened.state === 'ready' && (
        <>
          <Remark remark={opened.remark} />
          <Conversation llama={opened.llama} />
        </>
      )}
    </section>
  )
}

/** llama.cpp with the checkpoint, as long as the chat is open; compared once, before anything is asked. */
function useLlama(run: string, paths: string[], gpu: boolean): Opened {
  const workbench = useWorkbench()
  const [opened, setOpened] = useState<Opened>({ state: 'loading' })
  const files = paths.join('\n')
  useEffect(() => {
    let closed = false
    const opening = (async () => {
      const blobs = await Promise.all(files.split('\n').map((path) => workbench.file(run, path)))
      return Llama.open(blobs, gpu)
    })()
    const tell = (next: Opened) => {
      if (!closed) setOpened(next)
    }
    tell({ state: 'loading' })
    opening
      .then(async (llama) => {
        tell({ state: 'ready', llama, remark: null })
        const compared = async () => describeVerdict(judge(...(await workbench.compare(run, llama))))
        const remark = await compared().catch((thrown) => {
          const { message, hint } = toErrorData(thrown)
          return { wrong: false, text: `Not compared with our own forward pass: ${message} ${hint}` }
        })
        tell({ state: 'ready', llama, remark })
      })
      .catch((thrown) => tell({ state: 'failed', error: toErrorData(thrown) }))
    return () => {
      closed = true
      opening.then((llama) => llama.close()).catch(() => {})
    }
  }, [workbench, run, files, gpu])
  return opened
}

function Remark({ remark }: { remark: { wrong: boolean; text: string } | null }) {
  return (
    <p className={remark?.wrong ? 'notice warn row tight' : 'hint'} role={remark?.wrong ? 'alert' : 'status'}>
      {remark?.wrong && <Icon name="warning" />}
      <span>{remark ? remark.text : 'Comparing its first tokens with our own forward pass …'}</span>
    </p>
  )
}

/** Tokens of an answer at most. */
const most = 256

function Conversation({ llama }: { llama: Llama }) {
  const [prompt, setPrompt] = useState(llama.chats ? '' : recited.prompt)
  const [speech, setSpeech] = useState<Speech | null>(null)
  const [speaking, setSpeaking] = useState(false)
  const [error, setError] = useState<ErrorData | null>(null)
  const asked = useRef('')
  const ask = async () => {
    asked.current = prompt
    setSpeaking(true)
    setError(null)
    setSpeech({ text: '', tokens: 0, perSecond: 0 })
    try {
      setSpeech(await llama.speak(prompt, most, setSpeech))
    } catch (thrown) {
      setError(toErrorData(thrown))
    }
    setSpeaking(false)
  }
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault()
        void ask()
      }}
    >
      <Field
        label={llama.chats ? 'Message' : 'Text to continue'}
        help={llama.chats ? undefined : 'The checkpoint has no chat template, so it continues a text.'}
      >
        {(control) => (
          <textarea {...control} className="input" rows={3} value={prompt} onChange={(event) => setPrompt(event.target.value)} />
        )}
      </Field>
      <div className="row">
        {speaking ? (
          <Button icon="pause" onClick={() => llama.stop()}>
            Stop
          </Button>
        ) : (
          <Button kind="primary" type="submit" icon="play" disabled={!prompt.trim()}>
            {llama.chats ? 'Send' : 'Continue'}
          </Button>
        )}
        {speech && speech.tokens > 0 && (
          <span className="hint figures" data-testid="chat-rate">
            {format.plural(speech.tokens, 'token')}, {speech.perSecond.toFixed(1)} per second
          </span>
        )}
      </div>
      {speech && (
        <output className="answer" data-testid="chat-answer">
          {!llama.chats && <span className="hint">{asked.current}</span>}
          {speech.text}
        </output>
      )}
      {error && (
        <p className="field-problem error" role="alert">
          {error.message} {error.hint}
        </p>
      )}
    </form>
  )
}
