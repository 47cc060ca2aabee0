"""Money on its way back: refunds, which the merchant asks for, and disputes."""
