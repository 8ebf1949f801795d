/** The engine without the page, for tests of what no control shows. */
import { connect, type Engine } from '../../src/engine/hosts/client.ts'

declare global {
  var engine: Engine
  /** What `watchNetwork` said so far. */
  var said: string[]
}

globalThis.engine = connect()
globalThis.said = []
engine.watchNetwork({
  traffic: ({ waiting }) => waiting && said.at(-1) !== waiting && said.push(waiting),
  notice: (message) => said.push(message),
})
