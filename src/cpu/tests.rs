use super::*;

/// Values that differ everywhere, without a generator.
fn ramp(shape: impl Into<Vec<usize>>) -> Tensor {
    let mut tensor = Tensor::zeros(shape);
    let wave = |i: usize| ((i * 37 + 11) % 101) as f32 / 50.0 - 1.0;
    tensor.data_mut().iter_mut().enumerate().for_each(|(i, v)| *v = wave(i));
    tensor
}

fn depthwise_graph() -> Graph {
    let mut graph = Graph::new("test", Shape::new(2, 5, 7));
    let weight = graph.param("weight", ramp([2, 1, 3, 3]));
    let conv = Conv2d::new(weight, None).stride(2).padding([1, 1]).groups(2);
    let conv = graph.add("conv", conv, &[graph.input()]).unwrap();
    graph.set_output(conv);
    graph
}

#[test]
fn plane_and_matrix_convolutions_agree() {
    let graph = depthwise_graph();
    let Op::Conv2d(conv) = &graph.node(graph.output()).op else { panic!("not a convolution") };
    let (x, shape) = (ramp([3, 2, 5, 7]), graph.node(graph.output()).shape);
    let plane = CpuExecutor::new(graph.clone()).unwrap().run(&x).unwrap();
    let matrix = dense::run(conv, &[&x], shape, graph.params());
    assert_eq!(plane.shape(), [3, 2, 3, 4]);
    let largest = plane.data().iter().zip(matrix.data()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(largest < 1e-5 && plane.data().iter().all(|v| *v != 0.0), "{largest}");
}

#[test]
fn a_wrong_input_is_refused_with_both_shapes() {
    let executor = CpuExecutor::new(depthwise_graph()).unwrap();
    for shape in [vec![1, 2, 7, 5], vec![2, 5, 7], vec![0, 2, 5, 7]] {
        let message = executor.run(&Tensor::zeros(shape.clone())).unwrap_err().to_string();
        assert!(message.contains(&format!("{shape:?}")) && message.contains("[n, 2, 5, 7]"), "{message}");
    }
    let message = executor.run_with(&Tensor::zeros([1, 2, 5, 7]), &[NodeId(9)]).unwrap_err().to_string();
    assert!(message.contains("no node 9"), "{message}");
}

#[test]
fn wanted_values_come_in_order_and_may_repeat() {
    let mut graph = Graph::new("test", Shape::new(2, 1, 2));
    let double = graph.add("double", Scale { factor: 2.0 }, &[graph.input()]).unwrap();
    let side = graph.add("side", Scale { factor: 5.0 }, &[double]).unwrap();
    let sum = graph.add("sum", Add::default(), &[double, graph.input()]).unwrap();
    graph.set_output(sum);
    let x = ramp([1, 2, 1, 2]);
    let times = |factor: f32| x.data().iter().map(|v| v * factor).collect::<Vec<_>>();
    let executor = CpuExecutor::new(graph).unwrap();
    let (out, wanted) = executor.run_with(&x, &[side, sum, NodeId(0), side]).unwrap();
    let wanted: Vec<_> = wanted.into_iter().map(Tensor::into_data).collect();
    assert_eq!(out.into_data(), times(3.0));
    assert_eq!(wanted, [times(10.0), times(3.0), times(1.0), times(10.0)]);
}
