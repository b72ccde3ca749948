"""Parts that several experiments share: measures of reports, class accuracy, posteriors, quantisers, captions."""
