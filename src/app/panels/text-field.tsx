/** One text of a plan: the choice among those that there are, and how another one is brought. */
import { useEffect, useState } from 'react'
import type { ModelSummary } from '../../engine/job/model.ts'
import { isDatasetId, type TextChoice, type TextFacts, type TextSource } from '../../engine/job/texts.ts'
import { useDone, useView, useWorkbench } from '../context.ts'
import { filesOfInput } from '../files.ts'
import * as format from '../format.ts'
import { isOwn, isStructured, type TextPurpose, textGroups } from '../texts.ts'
import { Button, FilesButton } from './controls.tsx'
import { Field, Switch } from './fields.tsx'
import { Icon } from './icons.tsx'

interface TextFieldProps {
  purpose: TextPurpose
  label: string
  choice: TextChoice
  model: ModelSummary
}

export function TextField({ purpose, label, choice, model }: TextFieldProps) {
  const source = useView((state) => state.texts.find(({ id }) => id === choice.text))
  const done = useDone()
  const found = useLast(purpose === 'lambada' ? done?.passagesFrom : done?.[purpose]?.from, choice.text)
  return (
    <div className="text-choice">
      <TextSelect purpose={purpose} label={label} choice={choice} source={source} />
      <Bring purpose={purpose} source={source} />
      {source && isStructured(source, found) && <Structure purpose={purpose} choice={choice} model={model} />}
    </div>
  )
}

interface TextSelectProps extends Omit<TextFieldProps, 'model'> {
  source: TextSource | undefined
}

function TextSelect({ purpose, label, choice, source }: TextSelectProps) {
  const workbench = useWorkbench()
  const texts = useView((state) => state.texts)
  return (
    <Field label={label} path={`${purpose}.text`} help={source?.about}>
      {(control) => (
        <select
          {...control}
          className="input grow"
          value={choice.text}
          onChange={(event) => workbench.chooseText(purpose, event.target.value)}
        >
          {!source && <option value={choice.text}>{choice.text} (no longer there)</option>}
          {textGroups(texts).map((group) => (
            <optgroup key={group.title} label={group.title}>
              {group.texts.map((text) => (
                <option key={text.id} value={text.id}>
                  {text.label}
                  {text.bytes !== null && ` (${format.bytes(text.bytes)})`}
                </option>
              ))}
            </optgroup>
          ))}
        </select>
      )}
    </Field>
  )
}

/** The ways to another text, and the way of one's own off the list. */
function Bring({ purpose, source }: { purpose: TextPurpose; source: TextSource | undefined }) {
  const workbench = useWorkbench()
  const [adding, setAdding] = useState<'paste' | 'dataset' | null>(null)
  const toggle = (what: 'paste' | 'dataset') => setAdding(adding === what ? null : what)
  const name = words[purpose]
  return (
    <>
      <div className="row text-sources">
        <FilesButton
          icon="file"
          aria-label={`Add a text file for ${name}`}
          title="Plain text, .json, .jsonl, .csv or .parquet; gzip and zstd too"
          onFiles={(files) => workbench.take(Promise.resolve(filesOfInput(files)), purpose)}
        >
          File
        </FilesButton>
        <Button icon="add" aria-expanded={adding === 'paste'} aria-label={`Paste a text for ${name}`} onClick={() => toggle('paste')}>
          Paste
        </Button>
        <Button
          icon="add"
          aria-expanded={adding === 'dataset'}
          aria-label={`Use a data set of the Hub for ${name}`}
          onClick={() => toggle('dataset')}
        >
          Data set
        </Button>
        {source && isOwn(source) && (
          <Button
            kind="quiet"
            icon="remove"
            aria-label={`Remove ${source.label} from the list`}
            title="Remove from the list"
            onClick={() => workbench.removeText(source.id)}
          />
        )}
      </div>
      <Removed purpose={purpose} />
      {adding === 'paste' && <PasteForm purpose={purpose} onClose={() => setAdding(null)} />}
      {adding === 'dataset' && <DatasetForm purpose={purpose} onClose={() => setAdding(null)} />}
    </>
  )
}

/** Where the text was that is gone now. */
function Removed({ purpose }: { purpose: TextPurpose }) {
  const workbench = useWorkbench()
  const removed = useView((state) => state.removed)
  if (removed?.job[purpose]?.text !== removed?.text.id || !removed) return null
  return (
    <p className="row tight hint">
      <span>“{removed.text.label}” was removed.</span>
      <Button kind="quiet" onClick={workbench.restoreText}>
        Undo
      </Button>
    </p>
  )
}

/** Of a text with columns or fields. */
function Structure({ purpose, choice, model }: Omit<TextFieldProps, 'label'>) {
  const workbench = useWorkbench()
  const change = (part: Partial<TextChoice>) => workbench.setText(purpose, part)
  return (
    <div className="fields">
      {!choice.text.split(':')[3] && (
        <Field label="Column" help="The column or field with the text; empty: detected." path={`${purpose}.column`}>
          {(control) => (
            <input
              {...control}
              className="input"
              value={choice.column ?? ''}
              placeholder="text, sentence, messages …"
              autoComplete="off"
              spellCheck={false}
              onChange={(event) => change({ column: event.target.value || undefined })}
            />
          )}
        </Field>
      )}
      <Field
        label="Chat template"
        help={
          model.chatTemplate
            ? 'For conversations: render each in the format that the model was trained on.'
            : 'The tokenizer files of this model contain no chat template.'
        }
        path={`${purpose}.chat`}
      >
        {(control) => (
          <Switch
            {...control}
            disabled={!model.chatTemplate}
            checked={choice.chat === true}
            onChange={(chat) => change({ chat: chat || undefined })}
          />
        )}
      </Field>
    </div>
  )
}

/** The last answer for a text, while the next is on its way: a field that is being typed in must not go. */
function useLast(found: TextFacts | undefined, text: string): TextFacts | undefined {
  const [last, setLast] = useState({ text, found })
  useEffect(() => {
    if (found) setLast({ text, found })
  }, [found, text])
  return found ?? (last.text === text ? last.found : undefined)
}

const words: Record<TextPurpose, string> = { calibration: 'calibration', evaluation: 'evaluation', lambada: 'last words' }

function PasteForm({ purpose, onClose }: { purpose: TextPurpose; onClose: () => void }) {
  const workbench = useWorkbench()
  const [text, setText] = useState('')
  return (
    <form
      className="text-form"
      onSubmit={(event) => {
        event.preventDefault()
        workbench.paste(text, purpose)
        onClose()
      }}
    >
      <Field label={`Text for ${words[purpose]}`} help="Plain text, or one JSON object a line.">
        {(control) => (
          // biome-ignore lint/a11y/noAutofocus: the person has just asked for it
          <textarea {...control} className="input" rows={5} autoFocus value={text} onChange={(event) => setText(event.target.value)} />
        )}
      </Field>
      <div className="row">
        <Button kind="primary" type="submit" disabled={!text.trim()}>
          Use this text
        </Button>
        <Button kind="quiet" onClick={onClose}>
          Cancel
        </Button>
        <span className="hint figures">{format.plural(text.length, 'character')}</span>
      </div>
    </form>
  )
}

function DatasetForm({ purpose, onClose }: { purpose: TextPurpose; onClose: () => void }) {
  const workbench = useWorkbench()
  const [parts, setParts] = useState({ repository: '', config: '', split: '', column: '' })
  const id = [parts.repository, parts.config, parts.split, parts.column]
    .map((part) => part.trim())
    .join(':')
    .replace(/:+$/, '')
  const wrong = parts.repository.trim() !== '' && !isDatasetId(id)
  const field = (key: keyof typeof parts, label: string, help: string, placeholder: string) => (
    <Field label={label} help={help}>
      {(control) => (
        <input
          {...control}
          className="input"
          value={parts[key]}
          placeholder={placeholder}
          autoComplete="off"
          spellCheck={false}
          onChange={(event) => setParts({ ...parts, [key]: event.target.value })}
        />
      )}
    </Field>
  )
  return (
    <form
      className="text-form"
      onSubmit={(event) => {
        event.preventDefault()
        workbench.addDataset(id, purpose)
        onClose()
      }}
    >
      <div className="fields">
        {field('repository', 'Data set of the Hub', 'Its name on the Hub, owner/name.', 'owner/name')}
        {field('config', 'Configuration', 'Empty: the only one, or “default”.', '')}
        {field('split', 'Split', 'Empty: train to calibrate, test to evaluate.', '')}
        {field('column', 'Column', 'Empty: detected.', '')}
      </div>
      {wrong && (
        <p className="field-problem error" role="alert">
          <Icon name="warning" />
          <span>A data set is named owner/name, without further slashes or colons.</span>
        </p>
      )}
      <div className="row">
        <Button kind="primary" type="submit" disabled={!parts.repository.trim() || wrong}>
          Use this data set
        </Button>
        <Button kind="quiet" onClick={onClose}>
          Cancel
        </Button>
      </div>
    </form>
  )
}
