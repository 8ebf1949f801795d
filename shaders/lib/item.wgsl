// The number of this invocation in a one-dimensional job whose grid was folded into x and y (65 535 groups a side).
fn item(id: vec3u, groups: vec3u, size: u32) -> u32 {
  return id.x + id.y * groups.x * size;
}
