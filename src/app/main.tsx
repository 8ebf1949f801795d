import { connect } from '../engine/hosts/client.ts'
import { mount } from './app.tsx'

mount(document.getElementById('root')!, connect())
