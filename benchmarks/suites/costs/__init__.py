"""The planner's cost model beside what is measured: rows that stream tables or pack them."""
