/* Layers of a network by CMSIS-NN on a Cortex-M, one after the other (CALLS), with the instructions
   of all (emulated, from SysTick under QEMU's -icount shift=0). The values are arbitrary. */
#include "semihosting.h"

#include "arm_nnfunctions.h"

#define MAX_CHANNELS 1024

static int8_t in[400000], out[400000], weights[300000], buffer[200000];
static int32_t biases[MAX_CHANNELS], multipliers[MAX_CHANNELS], shifts[MAX_CHANNELS];
static cmsis_nn_context context = {buffer, sizeof buffer};
static cmsis_nn_per_channel_quant_params channels = {multipliers, shifts};
static int status;

/* A convolution of an image that is padded already. */
static void convolution(int kh, int kw, int from, int to, int h, int w, int oh, int ow, int stride)
{
    cmsis_nn_conv_params given = {128, -128, {stride, stride}, {0, 0}, {1, 1}, {-128, 127}};
    cmsis_nn_dims image = {1, h, w, from}, filter = {to, kh, kw, from}, bias = {to, 1, 1, 1};
    cmsis_nn_dims made = {1, oh, ow, to};
    status |= arm_convolve_wrapper_s8(&context, &given, &channels, &image, in, &filter, weights,
                                      &bias, biases, &made, out);
}

static void depthwise(int kh, int kw, int number, int h, int w, int oh, int ow, int stride)
{
    cmsis_nn_dw_conv_params given = {128, -128, 1, {stride, stride}, {0, 0}, {1, 1}, {-128, 127}};
    cmsis_nn_dims image = {1, h, w, number}, filter = {1, kh, kw, number};
    cmsis_nn_dims bias = {number, 1, 1, 1}, made = {1, oh, ow, number};
    status |= arm_depthwise_conv_wrapper_s8(&context, &given, &channels, &image, in, &filter,
                                            weights, &bias, biases, &made, out);
}

static void dense(int from, int to)
{
    cmsis_nn_fc_params given = {128, 0, -128, {-128, 127}};
    cmsis_nn_per_tensor_quant_params scale = {1 << 30, -4};
    cmsis_nn_dims image = {1, 1, 1, from}, filter = {from, 1, 1, to}, bias = {to, 1, 1, 1};
    cmsis_nn_dims made = {1, 1, 1, to};
    status |= arm_fully_connected_s8(&context, &given, &scale, &image, in, &filter, weights, &bias,
                                     biases, &made, out);
}

static void start(void)
{
    uint32_t i, ticks;
    memcpy(&data_start, &data_from, (size_t)((char *)&data_end - (char *)&data_start));
    memset(&zero_start, 0, (size_t)((char *)&zero_end - (char *)&zero_start));
    for (i = 0; i < MAX_CHANNELS; i++) {
        multipliers[i] = 1 << 30;
        shifts[i] = -6;
    }
    for (i = 0; i < sizeof in; i++)
        in[i] = (int8_t)(i * 37);
    for (i = 0; i < sizeof weights; i++)
        weights[i] = (int8_t)(i * 91);
    SYST_RVR = TICKS_MASK;
    SYST_CVR = 0;
    SYST_CSR = 5;
    ticks = SYST_CVR;
#include CALLS
    ticks = (ticks - SYST_CVR) & TICKS_MASK;
    print_number((uint32_t)status, ' ');
    print_number(ticks, '\n');
    leave();
}

__attribute__((section(".vectors"), used)) static const void *const vectors[16] = {
    &stack_top, start, leave, leave, leave, leave, leave, [11] = leave, [14] = leave, [15] = leave,
};
