from experiments.output_shapes import main

main()
