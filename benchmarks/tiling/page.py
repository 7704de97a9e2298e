"""From results to the page."""
def write_page(results, page): page.write_text("")
