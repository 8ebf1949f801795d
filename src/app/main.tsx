import { connect } from '../engine/client.ts'
import { mount } from './app.tsx'

mount(document.getElementById('root')!, connect())
