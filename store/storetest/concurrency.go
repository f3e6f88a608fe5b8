package storetest

func concurrencyCases() []testCase { return nil }
