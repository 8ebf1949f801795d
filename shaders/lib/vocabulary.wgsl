// A block of the vocabulary is 256 times four entries, summed in runs of 16, so that no float32 sum is long.
const QUADS = 256u;
const RUN = 16u;
