"""What a call cost: usage in one shape, dated prices, exact decimals. Pure arithmetic, standard library only."""
