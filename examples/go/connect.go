package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// connect opens the connection that the environment describes:
//
//	COST_INSIGHTS_GRPC_ADDRESS  HOST:PORT; 127.0.0.1:50051 unless set
//	COST_INSIGHTS_TOKEN         the access token, if the service wants one
//	COST_INSIGHTS_TLS           true for TLS with the authorities of the system
//	COST_INSIGHTS_CA            a file of authorities, for TLS with these
func connect() (*grpc.ClientConn, error) {
	address := os.Getenv("COST_INSIGHTS_GRPC_ADDRESS")
	if address == "" {
		address = "127.0.0.1:50051"
	}
	transport, err := transportCredentials()
	if err != nil {
		return nil, err
	}
	options := []grpc.DialOption{grpc.WithTransportCredentials(transport)}
	if token := os.Getenv("COST_INSIGHTS_TOKEN"); token != "" {
		options = append(options, grpc.WithPerRPCCredentials(accessToken(token)))
	}
	return grpc.NewClient(address, options...)
}

func transportCredentials() (credentials.TransportCredentials, error) {
	if file := os.Getenv("COST_INSIGHTS_CA"); file != "" {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		authorities := x509.NewCertPool()
		if !authorities.AppendCertsFromPEM(content) {
			return nil, fmt.Errorf("COST_INSIGHTS_CA: %s holds no certificate", file)
		}
		return credentials.NewTLS(&tls.Config{RootCAs: authorities}), nil
	}
	if os.Getenv("COST_INSIGHTS_TLS") == "true" {
		return credentials.NewTLS(&tls.Config{}), nil
	}
	return insecure.NewCredentials(), nil
}

// accessToken is sent with each call.
type accessToken string

func (token accessToken) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(token)}, nil
}

// RequireTransportSecurity allows a service on the same machine without TLS.
func (accessToken) RequireTransportSecurity() bool { return false }
