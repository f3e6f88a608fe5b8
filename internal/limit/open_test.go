package limit

import "testing"

func TestSoManyAtOnce(t *testing.T) {
	o := NewOpen(2)
	first, ok := o.Begin("a")
	second, again := o.Begin("a")
	if _, third := o.Begin("a"); !ok || !again || third {
		t.Fatalf("a began: %v, %v, %v; want two of three", ok, again, third)
	}
	other, ok := o.Begin("b")
	if !ok {
		t.Error("b is held up by a")
	}
	first()
	third, ok := o.Begin("a")
	if !ok {
		t.Fatal("what ended still counts")
	}
	for _, end := range []func(){second, third, other} {
		end()
	}
	if len(o.count) > 0 {
		t.Errorf("remembered: %v", o.count)
	}
	for range 100 {
		if _, ok := (*Open)(nil).Begin("a"); !ok || NewOpen(0) != nil {
			t.Fatal("0 is a limit")
		}
	}
}
