package main

import (
	"fmt"
	"os"
	"time"

	"gcd/loadgen"
)

// curve is throughput against a size.
type curve struct {
	name string
	xs   []float64
	ys   []float64
}

// groupGrowth measures how throughput changes with topics, connections and workers, and draws it.
func (b *bench) groupGrowth(picture string) (string, error) {
	topicCounts := []int{1, 1000, b.scale(1_000_000, 10_000), b.scale(10_000_000, 30_000)}
	connectionCounts := []int{1, 10, 100, b.scale(1000, 200), b.scale(10_000, 300)}
	workerCounts := []int{1, 2}

	topicTable := table{header: []string{"topics (64 connections, pipeline 16)"}}
	connectionTable := table{header: []string{"connections (pipeline 1, one topic)"}}
	var topicCurves, connectionCurves []curve
	topicCells, connectionCells := make([][]string, len(topicCounts)), make([][]string, len(connectionCounts))
	for _, workers := range workerCounts {
		header := plural(workers, "worker")
		topicTable.header, connectionTable.header = append(topicTable.header, header), append(connectionTable.header, header)
		topicCurve, connectionCurve := curve{name: header}, curve{name: header}
		for i, topics := range topicCounts {
			points, err := b.growthCell(workers, topics, 64, 16)
			if err != nil {
				return "", err
			}
			topicCells[i] = append(topicCells[i], ranged(rates(points), perSecond))
			topicCurve.xs, topicCurve.ys = append(topicCurve.xs, float64(topics)), append(topicCurve.ys, median(rates(points)))
		}
		for i, connections := range connectionCounts {
			points, err := b.growthCell(workers, 1, connections, 1)
			if err != nil {
				return "", err
			}
			connectionCells[i] = append(connectionCells[i], ranged(rates(points), perSecond))
			connectionCurve.xs, connectionCurve.ys = append(connectionCurve.xs, float64(connections)), append(connectionCurve.ys, median(rates(points)))
		}
		topicCurves, connectionCurves = append(topicCurves, topicCurve), append(connectionCurves, connectionCurve)
	}
	for i, topics := range topicCounts {
		topicTable.row(append([]string{grouped(topics)}, topicCells[i]...)...)
	}
	for i, connections := range connectionCounts {
		connectionTable.row(append([]string{grouped(connections)}, connectionCells[i]...)...)
	}

	text := "INCR by gcd's own generator, answers a second. The topics are all there before they are counted at random.\n\n" + topicTable.String() + "\n" + connectionTable.String()
	if picture == "" {
		return text, nil
	}
	svg := drawCharts([]chart{
		{title: "Topics: 64 connections, pipeline 16", x: "topics", curves: topicCurves},
		{title: "Connections: pipeline 1, one topic", x: "connections", curves: connectionCurves},
	})
	if err := os.WriteFile(picture, []byte(svg), 0o644); err != nil {
		return "", err
	}
	return text + "\n![answers a second against topics and connections](" + pictureName + ")\n", nil
}

func (b *bench) growthCell(workers, topics, connections, pipeline int) ([]point, error) {
	in, err := b.startGCD("", "--workers", fmt.Sprint(workers), "--max-connections", "20000")
	if err != nil {
		return nil, err
	}
	defer in.close()
	if topics > 1 {
		if err := b.fill(in, topics, 1); err != nil {
			return nil, err
		}
	}
	s := &subject{name: "gcd", in: in, load: b.generated(loadgen.Options{
		Network: loadgen.RESP, Addr: in.addr, Clients: connections, Pipeline: pipeline, Topics: uint64(topics), Prefix: fillPrefix, Timeout: time.Minute,
	})}
	points, err := b.compare(fmt.Sprintf("growth: %s, %s, %s", plural(workers, "worker"), plural(topics, "topic"), plural(connections, "connection")), []*subject{s}, nil)
	return points["gcd"], err
}
