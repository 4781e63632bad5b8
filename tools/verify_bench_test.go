package tools

import "testing"

// BenchmarkVerify verifies a directory with a snapshot of a million topics of 16 bytes, with and
// without the log that led to it.
func BenchmarkVerify(b *testing.B) {
	const topics = 1_000_000
	for _, row := range []struct {
		name string
		dir  func(b *testing.B) string
	}{
		{"snapshot", func(b *testing.B) string { return bigStore(b, topics, 0) }},
		{"snapshot and log", func(b *testing.B) string { return wholeStore(b, topics) }},
	} {
		b.Run(row.name, func(b *testing.B) {
			dir := row.dir(b)
			for b.Loop() {
				if v := verified(b, dir, VerifyOptions{}); v.Err() != nil {
					b.Fatal(v.Err())
				}
			}
			b.ReportMetric(float64(topics*b.N)/b.Elapsed().Seconds(), "topics/s")
		})
	}
}
