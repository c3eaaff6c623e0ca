// Package permissions says which IAM permissions each role of a deployment needs: of what is switched on, and no
// more. It owns the rows of the worker itself and of those who send and read; the rows of a service are in its
// handler ([handlers.Permitter]), so that a new service brings its own.
//
// A value travels like this. [Deployment] says what is switched on, and names the resources; [Rows] are the
// permissions of a role in it; [Policy] makes a policy document of rows. [Trust] is the document of who may take a role,
// and [StateQueue] that of who may send to a queue. It calls no AWS, and knows no flags.
//
// The actions, and the resources that AWS can check for each, are those of AWS's Service Authorization Reference
// ("Actions, resources, and condition keys for Amazon SQS", and so on), as a public copy of June 2026 has
// it. None was tried on AWS itself. GetCallerIdentity needs no permission. Keys of AWS KMS, where a queue, topic
// or table is encrypted with one of the customer's own, are for the key's policy, and not in these rows.
package permissions
