package storetest

func isolationCases() []testCase { return nil }
