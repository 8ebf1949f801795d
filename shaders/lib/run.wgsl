// Long float32 sums are made in runs of so many terms: of one plain sum, every term meets the rounding of all before it.
const RUN = 64u;
