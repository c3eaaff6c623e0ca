package awssim_test

import (
	"strconv"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

func benchmark(b *testing.B, client *sqs.Client) {
	b.Helper()
	ctx := b.Context()
	q, err := client.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String("q")})
	if err != nil {
		b.Fatal(err)
	}
	const body = `{"action":"batch:CancelJob","parameters":{"jobId":"1d828f65-7a4d-42e8-996d-3b900ed59dc4","reason":"Cancelling job."}}`
	b.ReportAllocs()
	for n := 0; b.Loop(); n += 10 {
		send := &sqs.SendMessageBatchInput{QueueUrl: q.QueueUrl}
		for i := range 10 {
			send.Entries = append(send.Entries, types.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), MessageBody: aws.String(body + strconv.Itoa(n+i))})
		}
		if _, err := client.SendMessageBatch(ctx, send); err != nil {
			b.Fatal(err)
		}
		got, err := client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: q.QueueUrl, MaxNumberOfMessages: 10})
		if err != nil || len(got.Messages) != 10 {
			b.Fatal(err, len(got.Messages))
		}
		del := &sqs.DeleteMessageBatchInput{QueueUrl: q.QueueUrl}
		for i, m := range got.Messages {
			del.Entries = append(del.Entries, types.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: m.ReceiptHandle})
		}
		if _, err := client.DeleteMessageBatch(ctx, del); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*10/b.Elapsed().Seconds(), "messages/s")
}
