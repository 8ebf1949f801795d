/**
 * Zod without its compiler, which tries `new Function` for speed; the page's content security policy forbids that, and browsers report
 * it.
 */
import { z } from 'zod'

z.config({ jitless: true })

export { z }
