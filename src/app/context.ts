/** React context and hooks through which components use the workbench. */
import { createContext, use } from 'react'
import { useStore } from 'zustand'
import type { JobCheck } from '../engine/job/check.ts'
import type { State } from './store/state.ts'
import type { Workbench } from './store.ts'

export const WorkbenchContext = createContext<Workbench | null>(null)

export function useWorkbench(): Workbench {
  return use(WorkbenchContext)!
}

export function useView<T>(select: (state: State) => T): T {
  return useStore(useWorkbench().store, select)
}

/** What the last check found, while nothing was changed since. */
export function useDone(): JobCheck | null {
  return useView((state) => (state.check.state === 'done' ? state.check.result : null))
}
