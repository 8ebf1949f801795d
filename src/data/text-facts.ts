/** What is known of a text once it was read; planning needs this, but none of the readers. */

/** What was found in a text while reading it. */
export interface TextFacts {
  /** Its files. */
  files: string[]
  /** How they are read: "plain text", "JSON rows", "CSV table", "parquet table", and their compression. */
  form: string
  /** The field or column with the text; null when each row is itself a text. */
  column: string | null
  /** Documents read. */
  rows: number
  /** How many of them have no text. */
  blank: number
  /** Its first words. */
  start: string
  /** For each field that belongs to a conversation but is not passed to the chat template: how many rows have it. */
  beside?: Record<string, number>
  /** Unusual roles in the conversations, which chat templates may ignore. */
  roles?: string[]
  /** The first row of a table, when it was read as column names but does not look like them. */
  header?: string
  /** Remarks that the user should see before the text is used. */
  warning?: string
}

/** Most characters read of a text: three times WikiText-2, and as much as a page can keep as tokens. */
export const maxText = 32 << 20

/** Remarks about a text, from what was found in it; `note`: for information only. */
export function remarksOn(facts: TextFacts): { message: string; hint: string; note?: boolean }[] {
  const { warning, rows, blank, column, header, roles = [], beside = {} } = facts
  const remarks = []
  if (blank > rows / 2 && column !== null)
    remarks.push({ message: `${blank} of ${rows} rows have no text in ${column}.`, hint: 'Check whether another column has the text.' })
  if (warning !== undefined) remarks.push({ message: warning, hint: 'To choose a split, write owner/name:configuration:split.' })
  if (header !== undefined) {
    const message = `The first row was read as column names, but does not look like them: “${header}”.`
    remarks.push({ message, hint: 'Add a row of column names above it; if the file is plain text, name it .txt.' })
  }
  for (const [field, count] of Object.entries(beside)) {
    const message = `${count} ${count === 1 ? 'row has' : 'rows have'} the field ${field}, which is not passed to the chat template.`
    remarks.push({ message, hint: 'The text lacks what the template would write for it.', note: true })
  }
  if (roles.length) {
    const message = `Conversations have turns of ${roles.map((role) => JSON.stringify(role)).join(', ')}: unusual roles, which the chat template may leave out.`
    remarks.push({ message, hint: 'Usual roles are system, developer, user, assistant and tool.' })
  }
  return remarks
}
