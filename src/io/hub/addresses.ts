/** Names of repositories and addresses of a Hub, as people write them. */
import { WorkbenchError } from '../../errors.ts'
import { publicHub } from './network.ts'

const repoPart = '[A-Za-z0-9][A-Za-z0-9._-]{0,95}'

/** `owner/name`, `owner/name@revision`, or the address of its page. @throws WorkbenchError `option-invalid` */
export function parseRepo(text: string): { name: string; revision: string | null } {
  const trimmed = text.trim()
  const page = /^https?:\/\/[^/]+\/(?:models\/|datasets\/)?([^/?#]+\/[^/?#]+)(?:\/(?:tree|blob|resolve)\/([^?#]+))?/.exec(trimmed)
  // A path after the revision is ignored; the revision itself contains slashes only as refs/pr/N.
  const fromPage = page?.[2] && (/^refs(?:\/|%2F)(?:pr|convert)(?:\/|%2F)[^/]+/i.exec(page[2])?.[0] ?? page[2].split('/')[0])
  const [name, revision = null] = page ? [page[1], fromPage ? decodeURIComponent(fromPage) : null] : trimmed.split(/@(.*)/s, 2)
  if (!new RegExp(`^(${repoPart}/)?${repoPart}$`).test(name) || name.includes('..')) {
    throw new WorkbenchError(
      'option-invalid',
      `“${text}” is not a repository name of the Hub.`,
      'Write owner/name, or owner/name@revision.',
    )
  }
  return { name, revision: checkRevision(revision) }
}

function checkRevision(revision: string | null): string | null {
  if (revision === null || (/^[\w./-]{1,200}$/.test(revision) && !revision.includes('..') && !revision.startsWith('/'))) return revision
  throw new WorkbenchError(
    'option-invalid',
    `“${revision}” is not a revision.`,
    'Write a branch, a tag, a commit, or refs/pr/ and a number.',
  )
}

export function checkUrl(text: string): string {
  let url: URL
  try {
    url = new URL(text)
  } catch {
    throw new WorkbenchError('option-invalid', `“${text}” is not the address of a Hub.`, `Write it like ${publicHub}.`)
  }
  if (!/^https?:$/.test(url.protocol) || url.username || url.password || url.search || url.hash)
    throw new WorkbenchError(
      'option-invalid',
      'The address of a Hub consists of a host and an optional path.',
      `Write it like ${publicHub}.`,
    )
  return url.href.replace(/\/+$/, '')
}
