/** The end of a script that setup.mjs runs in Node on the GPU that is there. */
import { toErrorData } from '../src/errors.ts'

/** What setup.mjs takes for "no GPU adapter": it then starts the script again on the software adapter. */
const NO_ADAPTER = 69

/** Runs `main` and leaves with an exit code: Dawn keeps the process alive while its devices live. */
export function headless(main: () => Promise<void>): void {
  main().then(
    () => process.exit(0),
    (error) => {
      const { code, message, hint, detail } = toErrorData(error)
      if (code === 'gpu-missing' && !process.env.QUANTEASE_SOFTWARE) process.exit(NO_ADAPTER)
      console.error([message, hint, detail].filter(Boolean).join('\n'))
      process.exit(1)
    },
  )
}
