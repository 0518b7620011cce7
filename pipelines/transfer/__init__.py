"""Transfer of behaviour from established products to those with little of their own (ProductSIM 6)."""
