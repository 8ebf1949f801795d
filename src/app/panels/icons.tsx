/** The icons: strokes on a square of 16 pixels. */

const strokes = {
  add: 'M8 3v10M3 8h10',
  cancel: 'M4 4l8 8M12 4l-8 8',
  chat: 'M2.5 3h11v8H7.5L4.5 13.5V11h-2z',
  check: 'M3 8.5l3.5 3.5L13 4.5',
  copy: 'M6 6h7v7H6zM3 10V3h7',
  down: 'M4 6l4 4 4-4',
  eye: 'M1.5 8S4 3.5 8 3.5 14.5 8 14.5 8 12 12.5 8 12.5 1.5 8 1.5 8zM8 6.2a1.8 1.8 0 1 0 0 3.6 1.8 1.8 0 0 0 0-3.6z',
  hidden: 'M2.5 5.5C3.5 8 5.5 9.5 8 9.5s4.5-1.5 5.5-4M8 9.5v2.5M4.5 8.5L3 10.5M11.5 8.5l1.5 2',
  up: 'M4 10l4-4 4 4',
  download: 'M8 2.5v7M5 7l3 3 3-3M3 13h10',
  clock: 'M8 1.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zM8 4.5V8l2.5 1.5',
  compare: 'M3 3.5h4v9H3zM9 6.5h4v6H9z',
  file: 'M4 2h5l3 3v9H4zM9 2v3h3',
  folder: 'M2 4h4l1.5 2H14v7H2z',
  moon: 'M12.5 10A5.5 5.5 0 0 1 6 3.5 5.5 5.5 0 1 0 12.5 10z',
  next: 'M6 4l4 4-4 4',
  note: 'M8 7v4.5M8 4.5v.01M8 1.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13z',
  open: 'M2.5 3h11v10h-11zM9.5 3v10',
  pause: 'M5.5 3v10M10.5 3v10',
  pin: 'M5.5 2h5M6.5 2v4.5L4 9.5h8L9.5 6.5V2M8 9.5v4.5',
  play: 'M5 3l7.5 5L5 13z',
  previous: 'M10 4L6 8l4 4',
  remove: 'M3 4.5h10M6 4V2.5h4V4M4.5 4.5l.5 9h6l.5-9',
  rename: 'M3 13l.7-3L10.5 3.2l2.3 2.3L6 12.3z',
  search: 'M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9zM10.3 10.3L13.5 13.5',
  sun: 'M8 5.2a2.8 2.8 0 1 0 0 5.6 2.8 2.8 0 0 0 0-5.6zM8 1.5v1.5M8 13v1.5M1.5 8H3M13 8h1.5M3.4 3.4l1 1M11.6 11.6l1 1M3.4 12.6l1-1M11.6 4.4l1-1',
  system: 'M2 3h12v8H2zM6 13.5h4',
  table: 'M2.5 3.5h11v9h-11zM2.5 6.5h11M2.5 9.5h11M6.5 6.5v6',
  upload: 'M8 10.5v-8M5 5.5l3-3 3 3M3 13h10',
  warning: 'M8 2L14.5 13.5h-13zM8 6.5v3.5M8 11.8v.01',
}

export type IconName = keyof typeof strokes

export function Icon({ name }: { name: IconName }) {
  return (
    <svg className="icon" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
      <path d={strokes[name]} fill="none" stroke="currentColor" strokeWidth="1.5" strokeLinecap="round" strokeLinejoin="round" />
    </svg>
  )
}
