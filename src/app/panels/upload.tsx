/** A finished checkpoint, uploaded to a repository of the Hub. */
import { useState } from 'react'
import { hubUrl, type PushPlace, type PushProgress } from '../../engine/hosts/client.ts'
import { useView, useWorkbench } from '../context.ts'
import * as format from '../format.ts'
import { type Upload, uploadKey } from '../store/state.ts'
import { Bar, Button } from './controls.tsx'
import { Field, Switch } from './fields.tsx'
import { Icon } from './icons.tsx'
import { Account } from './hub-account.tsx'
import './upload.css'

const { host } = new URL(hubUrl)

interface UploadToProps {
  run: string
  /** Of the checkpoint among the run's files. */
  folder: string
  /** What the repository is called unless somebody says otherwise. */
  name: string
}

export function UploadTo({ run, folder, name }: UploadToProps) {
  const workbench = useWorkbench()
  const [open, setOpen] = useState(false)
  // Outlives the form, which gives way to the progress and comes back after an error.
  const [chosen, setChosen] = useState<Chosen>({ repo: null, secret: true })
  const upload = useView((state) => state.uploads[uploadKey(run, folder)])
  const account = useView((state) => state.account)
  const shown = open && upload?.state !== 'sending' && upload?.state !== 'sent'
  return (
    <section className="upload" aria-label={`Upload ${name} to the Hub`}>
      {!shown && upload?.state !== 'sending' && upload?.state !== 'sent' && (
        <div>
          <Button icon="upload" onClick={() => setOpen(true)}>
            Upload to the Hub
          </Button>
        </div>
      )}
      {shown &&
        (account ? (
          <Place
            chosen={chosen}
            proposed={`${account.name}/${repoName(name)}`}
            onChoose={setChosen}
            onSend={(place) => workbench.upload(run, folder, place)}
          />
        ) : (
          <SignInFirst />
        ))}
      <Outcome upload={upload} name={name} />
    </section>
  )
}

function SignInFirst() {
  return (
    <div>
      <p className="hint">Uploading to {host} needs an account there.</p>
      <Account writing />
    </div>
  )
}

/** What was typed and switched; null: as proposed. */
interface Chosen {
  repo: string | null
  secret: boolean
}

interface PlaceProps {
  chosen: Chosen
  proposed: string
  onChoose: (chosen: Chosen) => void
  onSend: (place: PushPlace) => void
}

/** Where it goes, and who may see it. */
function Place({ chosen, proposed, onChoose, onSend }: PlaceProps) {
  const others = useView((state) => Object.values(state.uploads).some(({ state }) => state === 'sending'))
  const { secret } = chosen
  const repo = chosen.repo ?? proposed
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault()
        onSend({ repo: repo.trim(), public: !secret })
      }}
    >
      <Account writing />
      <Field label="Repository" help="A new one, or one that has a part of this checkpoint from an upload that broke.">
        {(control) => (
          <input
            {...control}
            className="input"
            autoComplete="off"
            spellCheck={false}
            value={repo}
            onChange={(event) => onChoose({ repo: event.target.value, secret })}
          />
        )}
      </Field>
      <Field label="Private" help="Off: everybody may see and load it.">
        {(control) => <Switch {...control} checked={secret} onChange={(next) => onChoose({ ...chosen, secret: next })} />}
      </Field>
      <div className="row">
        <Button kind="primary" icon="upload" type="submit" disabled={!repo.trim() || others}>
          {secret ? 'Upload' : 'Upload for everybody to see'}
        </Button>
      </div>
    </form>
  )
}

function Outcome({ upload, name }: { upload: Upload | undefined; name: string }) {
  const workbench = useWorkbench()
  if (upload?.state === 'sending') {
    const { progress } = upload
    return (
      <div>
        <Bar label={`Uploading ${name}`} done={progress?.total ? progress.done / progress.total : 0} />
        <div className="row">
          <p className="hint figures">{progress ? describe(progress) : 'Looking at the repository …'}</p>
          <Button icon="cancel" onClick={workbench.stopUpload}>
            Cancel the upload
          </Button>
        </div>
      </div>
    )
  }
  if (upload?.state === 'failed') {
    return (
      <p className="field-problem error" role="alert">
        <Icon name="warning" />
        <span>
          {upload.error.message} {upload.error.hint}
        </span>
      </p>
    )
  }
  if (upload?.state !== 'sent') return null
  return (
    <p className="link-out">
      Uploaded to{' '}
      <a href={upload.url} target="_blank" rel="noreferrer">
        {upload.repo}
      </a>
      , {upload.public ? 'for everybody to see' : 'private'}.
    </p>
  )
}

const doing: Record<PushProgress['phase'], string> = {
  checking: 'Looking at the repository',
  hashing: 'Reading',
  sending: 'Sending',
  committing: 'Committing',
}

const describe = ({ phase, path, done, total }: PushProgress) =>
  `${doing[phase]}${path === null ? '' : ` ${path}`}: ${format.bytesOf(done, total)}`

/** A name as the Hub allows it, as close to this one as possible. */
const repoName = (name: string) =>
  name
    .normalize('NFKD')
    .replace(/[^A-Za-z0-9._-]+/g, '-')
    .replace(/[-.]{2,}/g, '-')
    .replace(/^[-._]+|[-.]+$/g, '')
    .slice(0, 60) || 'checkpoint'
