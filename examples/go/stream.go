package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "cost-insights/examples/go/cost_insights/v1"
)

const (
	batches        = 20
	eventsPerBatch = 50
	attemptsMax    = 10
)

// A sender keeps what has been acknowledged of a stream.
type sender struct {
	client   pb.EventServiceClient
	streamID string
	acked    int64 // the sequence of the last batch that was acknowledged
	events   int64
}

// stream sends all batches. When the connection breaks or the service has too much to do, it opens
// another one and sends those that were not acknowledged again, under the same id and with the same
// sequences: each event counts once, though a batch may have been stored whose acknowledgement was
// lost.
func stream(ctx context.Context, conn *grpc.ClientConn, id string) error {
	sender := &sender{client: pb.NewEventServiceClient(conn), streamID: id}
	for attempt := 1; ; attempt++ {
		err := sender.send(ctx)
		if err == nil {
			break
		}
		code := status.Code(err)
		if code != codes.Unavailable && code != codes.ResourceExhausted || attempt == attemptsMax {
			return err
		}
		log.Printf("the stream broke after batch %d: %v", sender.acked, err)
		time.Sleep(100 * time.Millisecond)
	}
	fmt.Printf("acknowledged %d batches of %d events\n", sender.acked, sender.events)
	return nil
}

// send opens a stream, sends what is not acknowledged, and waits for the acknowledgements.
func (s *sender) send(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := s.client.StreamEvents(ctx)
	if err != nil {
		return err
	}
	// Batches and acknowledgements travel at the same time. Where sending fails, receiving does,
	// too, and says why.
	go func(first int64) {
		for sequence := first; sequence <= batches; sequence++ {
			request := &pb.StreamEventsRequest{StreamId: s.streamID, Sequence: sequence, Batch: batch(sequence)}
			if stream.Send(request) != nil {
				return
			}
		}
		_ = stream.CloseSend()
	}(s.acked + 1)
	for {
		answer, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if failed := answer.GetError(); failed != nil {
			return status.ErrorProto(failed)
		}
		s.acked = answer.Sequence
		s.events += int64(answer.GetBatch().Inserted + answer.GetBatch().Duplicates)
	}
}

// batch makes the events of a batch. A batch that is sent again must be the same.
func batch(sequence int64) *pb.IngestEventsRequest {
	start := time.Date(2026, time.November, 15, 12, 0, 0, 0, time.UTC)
	request := &pb.IngestEventsRequest{}
	for i := range int64(eventsPerBatch) {
		number := (sequence-1)*eventsPerBatch + i
		request.Events = append(request.Events, &pb.NewEvent{
			Name:      "llm.inference",
			Customer:  &pb.NewEvent_ExternalCustomerId{ExternalCustomerId: fmt.Sprintf("user_%d", number%4)},
			Timestamp: timestamppb.New(start.Add(time.Duration(number) * time.Second)),
			Cost:      &pb.Cost{Amount: fmt.Sprintf("0.%04d", number), Currency: "usd"},
		})
	}
	return request
}
