/** What formats need only when one is written or a quantized model is opened: loaded beforehand, so that it is there without a network. */
export const loadFormats = () =>
  Promise.all([
    import('./gguf/stream.ts'),
    import('./onnx/stream.ts'),
    import('./read.ts'),
    import('./sidecar/FORMAT.md?raw'),
    import('./sidecar/loader.py?raw'),
  ])
