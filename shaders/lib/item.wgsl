// The index of this invocation in a one-dimensional dispatch whose grid was folded into x and y (65 535 workgroups per dimension).
fn item(id: vec3u, groups: vec3u, size: u32) -> u32 {
  return id.x + id.y * groups.x * size;
}
