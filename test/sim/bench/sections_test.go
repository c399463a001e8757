package main

import "testing"

func TestSections(t *testing.T) {
	page := withHead("", "# Head\n\n")
	for _, name := range []string{"pool", "keep"} {
		page = withSection(page, name, "of "+name+"\n")
	}
	const want = "# Head\n\n<!-- measured: pool -->\nof pool\n<!-- end of pool -->\n\n<!-- measured: keep -->\nof keep\n<!-- end of keep -->\n"
	if page != want {
		t.Fatalf("the page is %q, want %q", page, want)
	}
	again := withSection(withHead(page, "# Head\n"), "pool", "of pool")
	if again != want {
		t.Errorf("written again it is %q", again)
	}
	if got := withSection(page, "pool", "other"); got == page || withSection(got, "pool", "of pool") != want {
		t.Errorf("with another section it is %q", got)
	}
}
