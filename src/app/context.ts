/** How components reach the workbench: one context, one hook per need. */
import { createContext, use } from 'react'
import { useStore } from 'zustand'
import type { State, Workbench } from './store.ts'

export const WorkbenchContext = createContext<Workbench | null>(null)

export function useWorkbench(): Workbench {
  return use(WorkbenchContext)!
}

export function useView<T>(select: (state: State) => T): T {
  return useStore(useWorkbench().store, select)
}
