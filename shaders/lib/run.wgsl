// Long float32 sums are computed in runs of RUN terms, since in one plain sum, rounding errors accumulate over all terms.
const RUN = 64u;
