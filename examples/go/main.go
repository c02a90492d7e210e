// Sends events to Cost Insights and asks what they cost.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "cost-insights/examples/go/cost_insights/v1"
)

const usage = `costs ingest               sends two events
costs stream ID            sends a thousand events as a stream, and goes on where it broke
costs metrics START END    shows the costs of each customer, such as of 2026-11-01 to 2026-11-30
costs call METHOD FILE...  sends requests in JSON, each to its method, and shows the answers`

func main() {
	log.SetFlags(0)
	conn, err := connect()
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	if err := run(context.Background(), conn, os.Args[1:]); err != nil {
		show(err)
		os.Exit(1)
	}
}

func run(ctx context.Context, conn *grpc.ClientConn, args []string) error {
	switch {
	case len(args) == 1 && args[0] == "ingest":
		return ingest(ctx, conn)
	case len(args) == 2 && args[0] == "stream":
		return stream(ctx, conn, args[1])
	case len(args) == 3 && args[0] == "metrics":
		return metrics(ctx, conn, args[1], args[2])
	case len(args) >= 3 && len(args)%2 == 1 && args[0] == "call":
		for i := 1; i < len(args); i += 2 {
			if err := call(ctx, conn, args[i], args[i+1]); err != nil {
				return err
			}
		}
		return nil
	}
	return errors.New(usage)
}

// ingest sends two events. Their external ids make it safe to send them again: each counts once.
func ingest(ctx context.Context, conn *grpc.ClientConn) error {
	metadata, err := structpb.NewStruct(map[string]any{"region": "eu", "attempts": 2, "cached": true})
	if err != nil {
		return err
	}
	events := []*pb.NewEvent{
		{
			Name:       "llm.inference",
			Customer:   &pb.NewEvent_ExternalCustomerId{ExternalCustomerId: "user_123"},
			ExternalId: "example-1",
			Timestamp:  timestamppb.New(time.Date(2026, time.November, 23, 12, 0, 0, 250e6, time.UTC)),
			Cost:       &pb.Cost{Amount: "0.025", Currency: "usd"},
			Llm:        &pb.Llm{Vendor: "openai", Model: "gpt-4", InputTokens: 57, OutputTokens: 123},
			Metadata:   metadata,
		},
		{
			Name:       "email.sent",
			Customer:   &pb.NewEvent_ExternalCustomerId{ExternalCustomerId: "user_456"},
			ExternalId: "example-2",
			Timestamp:  timestamppb.New(time.Date(2026, time.November, 23, 12, 0, 1, 0, time.UTC)),
			Cost:       &pb.Cost{Amount: "0.0001", Currency: "usd"},
		},
	}
	answer, err := pb.NewEventServiceClient(conn).IngestEvents(ctx, &pb.IngestEventsRequest{Events: events})
	if err != nil {
		return err
	}
	fmt.Printf("inserted %d, duplicates %d, conflicts %d\n", answer.Inserted, answer.Duplicates, len(answer.Conflicts))
	return nil
}

// metrics shows the costs of each customer in a span of days. A metric that was not asked for is nil.
func metrics(ctx context.Context, conn *grpc.ClientConn, start, end string) error {
	answer, err := pb.NewMetricsServiceClient(conn).GetMetrics(ctx, &pb.GetMetricsRequest{
		StartDate: start,
		EndDate:   end,
		Interval:  pb.Interval_INTERVAL_MONTH,
		Metrics:   []string{"costs"},
		GroupBy:   pb.GroupBy_GROUP_BY_CUSTOMER,
		GroupsMax: 20,
	})
	if err != nil {
		return err
	}
	for _, group := range answer.Groups {
		name := group.Value
		if group.Others {
			name = "others"
		}
		fmt.Printf("%s: %s\n", name, group.Totals.GetCosts())
	}
	fmt.Printf("all: %s\n", answer.Totals.GetCosts())
	return nil
}

// call sends a request in JSON to any RPC with one request and one answer.
func call(ctx context.Context, conn *grpc.ClientConn, method, file string) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	request, answer, err := messages(method)
	if err != nil {
		return err
	}
	if err := protojson.Unmarshal(content, request); err != nil {
		return err
	}
	if err := conn.Invoke(ctx, "/"+method, request, answer); err != nil {
		return err
	}
	said, err := protojson.Marshal(answer)
	if err != nil {
		return err
	}
	fmt.Println(string(said))
	return nil
}

// messages returns an empty request and an empty answer of a method, such as SERVICE/METHOD.
func messages(method string) (request, answer proto.Message, err error) {
	name := protoreflect.FullName(strings.Replace(method, "/", ".", 1))
	found, err := protoregistry.GlobalFiles.FindDescriptorByName(name)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", method, err)
	}
	described, ok := found.(protoreflect.MethodDescriptor)
	if !ok {
		return nil, nil, fmt.Errorf("%s is not a method", method)
	}
	input, err := protoregistry.GlobalTypes.FindMessageByName(described.Input().FullName())
	if err != nil {
		return nil, nil, err
	}
	output, err := protoregistry.GlobalTypes.FindMessageByName(described.Output().FullName())
	if err != nil {
		return nil, nil, err
	}
	return input.New().Interface(), output.New().Interface(), nil
}

// show prints what an error says: the code, why, which fields are wrong, and when to try again.
func show(err error) {
	said, ok := status.FromError(err)
	if !ok {
		fmt.Println(err)
		return
	}
	// As in the protos: INVALID_ARGUMENT, where codes.Code itself prints InvalidArgument.
	fmt.Printf("%s: %s\n", code.Code(said.Code()), said.Message())
	for _, detail := range said.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			fmt.Println("reason", detail.Reason)
		case *errdetails.BadRequest:
			for _, fault := range detail.FieldViolations {
				fmt.Printf("fault %s: %s\n", fault.Field, fault.Description)
			}
		case *errdetails.RetryInfo:
			fmt.Printf("retry after %d ms\n", detail.RetryDelay.AsDuration().Milliseconds())
		}
	}
}
