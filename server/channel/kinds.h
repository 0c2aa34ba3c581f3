/* The channel kinds that channel.c lists. For channel.c and the parts of one kind; others use channel_find(). */
#ifndef CHANNEL_KINDS_H
#define CHANNEL_KINDS_H

#include "channel/channel.h"

/* messaging */
extern const struct channel_kind channel_whatsapp;
extern const struct channel_kind channel_messenger;
extern const struct channel_kind channel_instagram;
extern const struct channel_kind channel_meta;
extern const struct channel_kind channel_telegram;

/* payments and generic senders */
extern const struct channel_kind channel_stripe;
extern const struct channel_kind channel_standard_webhooks;
extern const struct channel_kind channel_svix;
extern const struct channel_kind channel_polar;
extern const struct channel_kind channel_hmac;
extern const struct channel_kind channel_paddle;
extern const struct channel_kind channel_razorpay;
extern const struct channel_kind channel_adyen;
extern const struct channel_kind channel_paypal;
extern const struct channel_kind channel_square;
extern const struct channel_kind channel_mollie;
extern const struct channel_kind channel_gocardless;
extern const struct channel_kind channel_lemonsqueezy;
extern const struct channel_kind channel_shopify;
extern const struct channel_kind channel_chargebee;

#endif
