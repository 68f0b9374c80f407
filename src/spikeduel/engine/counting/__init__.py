"""Operations of any network, counted while it runs."""
