/** Zod without its compiler: it tries `new Function` for speed, which the page's policy forbids and browsers report. */
import { z } from 'zod'

z.config({ jitless: true })

export { z }
