package tools

import "testing"

// BenchmarkVerify verifies a directory with a snapshot of a million topics of 16 bytes.
func BenchmarkVerify(b *testing.B) {
	const topics = 1_000_000
	dir := bigStore(b, topics, 0)
	for b.Loop() {
		if v := verified(b, dir, VerifyOptions{}); v.Err() != nil {
			b.Fatal(v.Err())
		}
	}
	b.ReportMetric(float64(topics*b.N)/b.Elapsed().Seconds(), "topics/s")
}
